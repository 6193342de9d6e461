"""Organ meshes from one X-ray by an image-to-graph convolutional network (Nakao et al., MICCAI 2021)."""
