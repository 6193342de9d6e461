"""X-rays parametrized by landmarks: from the body's surface, changed by dragging a landmark."""
