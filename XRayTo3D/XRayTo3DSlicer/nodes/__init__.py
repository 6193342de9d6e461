"""Objects of the library as MRML nodes, and back."""
