"""``python -m XRayTo3DLib.cli`` is the command ``xrayto3d``."""

import sys

from XRayTo3DLib.cli import start

sys.exit(start())
