"""X-rays to volumes."""
