"""Stand-ins for what the panel needs of the Slicer application, so that it runs off-screen on PySide6 and slicer-core.

Written from the documented behaviour, and only as far as the panel uses it; ``Testing/README.md`` says what it cannot
show.

    with Harness.application() as application:
        from XRayTo3DSlicer.panels.panel import Panel
        ...
"""

from Harness.application import Application, application

__all__ = ["Application", "application"]
