"""A real MRML scene (slicer-core), emptied before each test, and small objects to put into it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
for folder in (ROOT, ROOT / "XRayTo3D"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

pytest.importorskip("slicer", reason="slicer-core is not installed")

from XRayTo3DSlicer import headless  # noqa: E402

from XRayTo3DLib.geometry import Grid, Projection  # noqa: E402
from XRayTo3DLib.images import Volume  # noqa: E402
from XRayTo3DLib.phantom import thorax_phantom  # noqa: E402
from XRayTo3DLib.views import view_projection  # noqa: E402


@pytest.fixture
def scene():
    """``slicer.mrmlScene``, empty."""
    import slicer

    found = headless.start()
    found.Clear(False)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(found)
    return found


@pytest.fixture
def state(scene):
    """A function that tells everything in the scene: node IDs in order, and the text that would be saved."""

    def everything() -> tuple[list[str], str]:
        scene.SetSaveToXMLString(1)
        scene.Commit()
        scene.SetSaveToXMLString(0)
        return [scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())], scene.GetSceneXMLString()

    return everything


@pytest.fixture(scope="session")
def oblique() -> Grid:
    """A small grid with three spacings and turned about all axes."""
    return Grid((7, 6, 5), (1.5, 2.0, 2.5), (10.0, -20.0, 30.0), turned(20, -35, 50))


@pytest.fixture(scope="session")
def left_handed(oblique) -> Grid:
    return Grid(oblique.size, oblique.spacing, oblique.origin, oblique.direction @ np.diag([1.0, 1.0, -1.0]))


@pytest.fixture(scope="session")
def ct() -> Volume:
    """A thorax of ellipsoids in HU on 8 mm voxels."""
    volume = thorax_phantom().volume(Grid.centred((0, 0, 0), (48, 36, 40), 8.0), supersample=1)
    assert volume.array.min() < -900 and volume.array.max() > 150
    return volume


def turned(x: float, y: float, z: float) -> np.ndarray:
    """A rotation matrix from three angles in degrees."""
    a, b, c = np.radians([x, y, z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@pytest.fixture(params=["AP", "PA", "LAO30CRAN15", "parallel LAT"])
def projection(request) -> Projection:
    """Cone and parallel, seen from the tube and from the detector, with more columns than rows and unequal spacing."""
    view, distance = request.param.split()[-1], None if "parallel" in request.param else 1400.0
    return view_projection(view, (12.0, -7.0, 40.0), (9, 14), (1.25, 2.5), distance)
