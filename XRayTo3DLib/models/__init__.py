"""Model files: where they are, what their cards say, whether they may run."""
