"""Organ shapes from one X-ray by a variational auto-encoder (Balashova et al., 2019), its variants and baseline."""
