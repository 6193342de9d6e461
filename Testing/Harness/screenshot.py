"""Draws the panel off-screen, with the phantom rendered from two views and, where there is a model, reconstructed.

    python Testing/Harness/screenshot.py [--out Resources/Screenshots/panel.png]

What it shows was computed by the real logic; without a bundled model the section Results stays empty.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

import Harness  # noqa: E402

#: Pixels: what a laptop leaves for the module panel.
WIDTH = 320


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "Resources" / "Screenshots" / "panel.png", help="a .png file")
    path = parser.parse_args().out
    with Harness.application() as user:
        from XRayTo3DSlicer.nodes import volume_nodes

        import XRayTo3D
        from Harness.scripted_module import ModuleWidget
        from XRayTo3DLib.geometry.grid import Grid
        from XRayTo3DLib.simulation.phantom import thorax_phantom

        ct = volume_nodes.volume_to_node(thorax_phantom().volume(Grid.centred((0, 0, 0), (92, 64, 78), 4.0)), "Thorax phantom")
        widget = XRayTo3D.XRayTo3DWidget(ModuleWidget())
        widget.setup()
        panel = widget.panel
        panel.parameters.ctNode = ct
        panel.parameters.compareNode = ct
        panel.parameters.pixelSize = 4.0
        panel.inputs.ui.renderButton.click()
        panel.geometry.ui.collapsibleButton.putCollapsed(False)
        panel.reconstruct.ui.refreshModelsButton.click()
        if any(model.bundled for model in widget.logic.models()):
            panel.reconstruct.ui.applyButton.click()
            panel.results.ui.compareButton.click()
        if user.errors:
            sys.exit("\n".join(user.errors))
        grab(widget.parent, path)
        widget.cleanup()
    print(f"wrote {path}")


def grab(container, path: Path) -> None:
    """Save a picture of a widget, as high as its contents."""
    from PySide6.QtWidgets import QApplication

    container.setFixedWidth(WIDTH)
    container.show()
    for _ in range(3):
        container.setFixedHeight(max(container.layout().totalHeightForWidth(WIDTH), container.minimumSizeHint().height()))
        QApplication.processEvents()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not container.grab().save(str(path)):
        sys.exit(f"{path} could not be written: check the folder and the ending.")


if __name__ == "__main__":
    main()
