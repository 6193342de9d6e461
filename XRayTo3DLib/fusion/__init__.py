"""Making a volume agree with its X-rays."""
