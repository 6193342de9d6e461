"""Shape systems, one file each, behind the one interface of :mod:`XRayTo3DLib.shapes.base`."""
