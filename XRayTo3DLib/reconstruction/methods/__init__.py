"""Reconstruction systems, one file each, behind the one interface of :mod:`.base`; :mod:`.registry` finds them by name."""
