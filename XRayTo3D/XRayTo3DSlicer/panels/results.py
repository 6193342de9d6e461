"""The section Results: how well a reconstruction agrees with its X-rays and with a CT, and what can be made of it."""

from __future__ import annotations

import math
from typing import Any

from slicer.i18n import tr as _

from XRayTo3DLib.errors import InputError
from XRayTo3DSlicer import dependencies
from XRayTo3DSlicer.nodes import provenance
from XRayTo3DSlicer.panels import tables
from XRayTo3DSlicer.panels.section import Section, whenBound


class ResultsSection(Section):
    uiName = "XRayTo3DResults"

    def __init__(self, logic: Any, work: Any) -> None:
        super().__init__(logic, work)
        self.ui.reconstructionSelector.addAttribute(
            "vtkMRMLScalarVolumeNode", provenance.PREFIX + "Type", provenance.RECONSTRUCTION
        )
        tables.prepare(self.ui.errorTable, [_("View"), _("Before (%)"), _("Result (%)")])
        tables.prepare(self.ui.compareTable, [_("Against the CT"), _("Value"), _("Unit")])
        self.ui.segmentButton.clicked.connect(self.onSegment)
        self.ui.surfacesButton.clicked.connect(self.onSurfaces)
        self.ui.compareButton.clicked.connect(self.onCompare)
        self._compared: tuple[Any, Any] | None = None
        self._showFigures([])

    def update(self) -> None:
        if self.parameters is None:
            self._compared = None
            return
        node = self.parameters.reconstructionNode
        ct = self.parameters.compareNode
        missing = "" if node is not None else _("Choose a reconstruction first.")
        self.enable("segmentButton", missing)
        self.enable("compareButton", missing or ("" if ct is not None else _("Choose the CT to compare with.")))
        segmented = self.parameters.segmentationNode is not None
        self.enable("surfacesButton", "" if segmented else _("Segment, or choose a segmentation first."))
        self._showErrors(node)
        if self._compared != (node, ct):
            self._showFigures([])

    @whenBound
    def onSegment(self) -> None:
        node = self.parameters.reconstructionNode
        found = self.work.run(_("Segmenting body, lungs and bone"), lambda progress: self.logic.segment(node))
        if found is not None and self.parameters is not None:
            self.parameters.segmentationNode = found

    @whenBound
    def onSurfaces(self) -> None:
        node = self.parameters.segmentationNode
        found = self.work.run(_("Extracting the surfaces"), lambda progress: self.logic.extractSurfaces(node))
        if found is not None:
            self.work.say(_("{count} surfaces were added as models.").format(count=len(found)))

    @whenBound
    def onCompare(self) -> None:
        node, ct = self.parameters.reconstructionNode, self.parameters.compareNode
        found = self.work.run(_("Comparing with the CT"), lambda progress: self.logic.compare(node, ct), dependencies.ALL)
        if found is not None:
            self._compared = node, ct
            self._showFigures(_figures(found))

    def _showErrors(self, node: Any) -> None:
        """The re-projection errors written on the node, in percent of the mean measured line integral."""
        stored = {key: _stored(node, key) for key in ("Views", "Errors", "ErrorsBefore", "Notes")}
        rows = zip(stored["Views"], stored["ErrorsBefore"] or stored["Errors"], stored["Errors"], strict=False)
        tables.fill(self.ui.errorTable, [(str(view), _percent(before), _percent(after)) for view, before, after in rows])
        self.ui.notesLabel.text = "\n".join(str(note) for note in stored["Notes"])
        self.ui.notesLabel.visible = bool(stored["Notes"])

    def _showFigures(self, figures: list[tuple[str, str, str]]) -> None:
        tables.fill(self.ui.compareTable, figures)
        self.ui.compareTable.visible = bool(figures)


def _stored(node: Any, key: str) -> list[Any]:
    """A list written on the node; nothing where it is damaged, because looking at a node must not fail."""
    if node is None:
        return []
    try:
        return provenance.read_list(node, key)
    except InputError:
        return []


def _percent(error: Any) -> str:
    return f"{100 * error:.3g}" if isinstance(error, (int, float)) else "?"


def _figures(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The rows of the comparison: what, value, unit."""
    rows = [
        (_("PSNR, peak 2500 HU"), _number(found["psnr"], 2), "dB"),
        (_("SSIM"), _number(found["ssim"], 3), ""),
        (_("Mean error in the body"), _number(found["hu_mae_body"], 0), "HU"),
    ]
    for name, figures in found["structures"].items():
        rows += [
            (_("{structure}: Dice").format(structure=name), _number(figures["dice"], 3), ""),
            (_("{structure}: HD95").format(structure=name), _number(figures["hd95_mm"], 1), "mm"),
            (_("{structure}: volume").format(structure=name), _number(figures["volume_ml"], 0), "mL"),
            (_("{structure}: volume in the CT").format(structure=name), _number(figures["volume_ml_ct"], 0), "mL"),
        ]
    return rows


def _number(value: float, digits: int) -> str:
    return _("not defined") if math.isnan(value) else f"{value:.{digits}f}"
