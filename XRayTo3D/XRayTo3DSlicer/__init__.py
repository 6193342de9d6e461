"""The bridge between XRayTo3DLib and a 3D Slicer scene; runs in Slicer and, headless, on the package slicer-core."""
