"""Line integrals and their adjoint."""
