"""The command ``xrayto3d``: a file a subcommand, on top of the library."""

from XRayTo3DLib.cli.command import main

__all__ = ["main"]
