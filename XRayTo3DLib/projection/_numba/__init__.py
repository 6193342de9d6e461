"""The compiled kernels; only ``projection.rays`` and ``projection.preview`` call them."""
