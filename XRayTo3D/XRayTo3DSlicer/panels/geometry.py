"""The section Geometry: beam, distances and detector of X-rays that are rendered, or loaded from files."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from XRayTo3DSlicer import parameters as state
from XRayTo3DSlicer.panels.section import Section


class GeometrySection(Section):
    uiName = "XRayTo3DGeometry"

    #: The beam that was chosen last, of the parameters that are bound.
    _beam: state.Beam | None = None

    def setParameters(self, parameters: Any) -> None:
        self._beam = None  # what was saved is kept as it was
        super().setParameters(parameters)

    def update(self) -> None:
        if self.parameters is None:
            return
        self._followBeam()
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

    def _followBeam(self) -> None:
        """Distances that are those of another beam become those of the beam that is chosen; others were meant."""
        before, self._beam = self._beam, self.parameters.beam
        usual = state.USUAL_DISTANCES.get(self._beam)
        own = self.parameters.sourceToDetector, self.parameters.sourceToIsocentre
        if before not in (None, self._beam) and usual is not None and own in state.USUAL_DISTANCES.values() and own != usual:
            self.parameters.sourceToDetector, self.parameters.sourceToIsocentre = usual
