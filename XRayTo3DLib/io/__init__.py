"""A file a format, both directions."""
