"""The section Geometry: beam, distances and detector of X-rays that are rendered, or loaded from files."""

from __future__ import annotations

from slicer.i18n import tr as _

from XRayTo3DSlicer import parameters as state
from XRayTo3DSlicer.panels.section import Section


class GeometrySection(Section):
    uiName = "XRayTo3DGeometry"

    def update(self) -> None:
        if self.parameters is None:
            return
        spreads = self.parameters.beam is not state.Beam.PARALLEL
        self.ui.sourceToDetectorSpinBox.enabled = spreads
        self.ui.sourceToIsocentreSpinBox.enabled = spreads
        problem = state.geometryProblem(self.parameters)
        self.ui.problemLabel.text = problem
        self.ui.problemLabel.visible = bool(problem)
        magnification = self.parameters.sourceToDetector / self.parameters.sourceToIsocentre if spreads else 1.0
        self.ui.magnificationLabel.text = _("{factor:.2f}, so a pixel measures {size:.2f} mm in the patient").format(
            factor=magnification, size=self.parameters.pixelSize / magnification
        )
