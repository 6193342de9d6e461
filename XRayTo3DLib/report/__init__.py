"""One HTML page for shell and panel."""
