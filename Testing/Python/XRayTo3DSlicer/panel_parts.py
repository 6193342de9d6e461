"""What stands for the logic in the tests of the panel, and what they read from the panel."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

from XRayTo3DLib.progress import silent

if TYPE_CHECKING:  # PySide6 looks for its name in the text of a module, to tell whether Qt properties are methods there
    from PySide6.QtWidgets import QTableWidget


class FakeLogic:
    """Notes its calls, and makes nodes as the real one does. ``step`` is called at each step of the progress."""

    def __init__(self):
        self.calls = []
        self.error = None
        self.step = lambda: None
        self.found = []
        self.trusted = None

    def node(self, name, kind, **attributes):
        import slicer

        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
        for key, value in attributes.items():
            node.SetAttribute(f"XRayTo3D.{key}", value if isinstance(value, str) else json.dumps(value))
        return node

    def note(self, name, *arguments, progress=silent, **keywords):
        self.calls.append((name, arguments, keywords))
        for fraction in (0.3, 0.6):
            progress(fraction, f"{name} {fraction}")
            self.step()
        if self.error is not None:
            raise self.error

    def radiograph(self, view):
        return self.node(f"X-ray {view}", "vtkMRMLScalarVolumeNode", Type="Radiograph", View=view)

    def renderDRR(self, ct, view="AP", *, progress=silent, **geometry):
        self.note("renderDRR", ct, view, progress=progress, **geometry)
        return self.radiograph(view) if isinstance(view, str) else [self.radiograph(word) for word in view]

    def loadRadiograph(self, path, view=None, *, ask=None, **geometry):
        self.asked = ask
        self.note("loadRadiograph", path, view, **geometry)
        return self.radiograph(view or "PA")

    def showProjection(self, radiograph):
        self.note("showProjection", radiograph)

    def reconstruct(self, radiographs, model=None, *, ask=None, progress=silent, **options):
        self.note("reconstruct", list(radiographs), model, progress=progress, **options)
        if model is not None:
            file = SimpleNamespace(name="mine", path=model, sha256="ab12" * 16, bundled=False, card={})
            self.trusted = ask(file)
        views = [node.GetAttribute("XRayTo3D.View") for node in radiographs]
        volume = self.node(
            "Reconstruction",
            "vtkMRMLScalarVolumeNode",
            Type="Reconstruction",
            Views=views,
            Errors=[0.0005 * (i + 1) for i in range(len(views))],
            ErrorsBefore=[0.125 * (i + 1) for i in range(len(views))],
            Notes=["AP: the scale was fitted."],
        )
        return SimpleNamespace(volumeNode=volume, seconds=1.5, modelName="biplanar")

    def segment(self, volume):
        self.note("segment", volume)
        return self.node("Segmentation", "vtkMRMLSegmentationNode")

    def extractSurfaces(self, segmentation):
        self.note("extractSurfaces", segmentation)
        return [self.node(name, "vtkMRMLModelNode") for name in ("body", "bone")]

    def compare(self, reconstruction, ct):
        self.note("compare", reconstruction, ct)
        bone = {"dice": 0.812, "hd95_mm": float("nan"), "volume_ml": 1234.4, "volume_ml_ct": 1300.0}
        return {"psnr": 26.125, "ssim": 0.8218, "hu_mae_body": 71.6, "structures": {"bone": bone}}

    def drawOutline(self, radiograph, organ):
        self.note("drawOutline", radiograph, organ)
        return self.node("drawn", "vtkMRMLSegmentationNode", Type="Outline")

    def organShape(self, radiographs, organ, mask=None, model=None, *, ask=None, progress=silent):
        self.note("organShape", list(radiographs), organ, mask, model, progress=progress)
        told = {"VolumeML": 4100.4, "IntervalML": [3700.0, 4500.0], "Notes": ["One X-ray leaves the depth open."]}
        node = self.node(organ, "vtkMRMLSegmentationNode", Type="Organ", Organ=organ, **told)
        return SimpleNamespace(segmentationNode=node)

    def parametrizedXRay(self, surface, region="head_neck", view=None, *, ask=None, progress=silent):
        self.note("parametrizedXRay", surface, region, view, progress=progress)
        return self.draw()

    def parametrizedLoop(self, points, *, ask=None):
        self.note("parametrizedLoop", points)
        return self.resume(points)

    def completeXRay(self, points, radiograph, *, progress=silent):
        self.note("completeXRay", points, radiograph, progress=progress)
        return self.node("completed", "vtkMRMLScalarVolumeNode")

    def findAnomaly(self, points, radiograph, threshold=0.1, *, progress=silent):
        self.note("findAnomaly", points, radiograph, threshold, progress=progress)
        return SimpleNamespace(score=12.5)

    def trainingXRays(self, points, folder, count=20, *, progress=silent):
        self.note("trainingXRays", points, folder, count, progress=progress)
        return [folder] * (count + 1)

    def models(self):
        self.note("models")
        return self.found


def status(panel) -> str:
    """The sentence under the progress bar."""
    return panel.work.ui.statusLabel.text()


def rows(table: QTableWidget) -> list[list[str]]:
    """The texts of a table, row by row."""
    return [[table.item(row, column).text() for column in range(table.columnCount())] for row in range(table.rowCount())]
