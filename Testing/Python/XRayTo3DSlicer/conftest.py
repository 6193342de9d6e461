"""A real MRML scene (slicer-core), emptied before each test, small objects to put into it, and the panel on the harness."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
for folder in (ROOT, ROOT / "XRayTo3D", ROOT / "Testing"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

pytest.importorskip("slicer", reason="slicer-core is not installed")

from panel_parts import FakeLogic  # noqa: E402
from scene_parts import turned  # noqa: E402
from XRayTo3DSlicer import headless  # noqa: E402
from XRayTo3DSlicer.logic import Logic  # noqa: E402
from XRayTo3DSlicer.nodes import volume_nodes  # noqa: E402

from XRayTo3DLib.geometry.grid import Grid  # noqa: E402
from XRayTo3DLib.geometry.projection import Projection  # noqa: E402
from XRayTo3DLib.geometry.views import view_projection  # noqa: E402
from XRayTo3DLib.images.labelmap import Labelmap  # noqa: E402
from XRayTo3DLib.images.radiograph import Radiograph  # noqa: E402
from XRayTo3DLib.images.volume import Volume  # noqa: E402
from XRayTo3DLib.simulation.phantom import thorax_phantom  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The panel last: after it, whatever happens in a scene loses references to None, and Python aborts at its exit."""
    items.sort(key=lambda item: "started" in getattr(item, "fixturenames", ()))


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


@pytest.fixture(params=["AP", "PA", "LAO30CRAN15", "parallel LAT", "scanned AP"])
def projection(request) -> Projection:
    """Cone, parallel and scanned, seen from the tube and from the detector, with more columns than rows and unequal spacing."""
    view, distance = request.param.split()[-1], None if "parallel" in request.param else 1400.0
    scan = "column" if "scanned" in request.param else None
    return view_projection(view, (12.0, -7.0, 40.0), (9, 14), (1.25, 2.5), distance, scan_axis=scan)


@pytest.fixture
def radiograph(projection):
    """An uncalibrated radiograph of random pixels, for each projection."""
    pixels = np.random.default_rng(1).random(projection.size).astype(np.float32)
    return Radiograph(pixels, projection, "AP", unknown=("offset", "gain"), notes=("a note",))


@pytest.fixture(params=["oblique", "left_handed"])
def labelmap(request):
    """A body with two structures in it, and the name of a fourth that is empty."""
    grid = request.getfixturevalue(request.param)
    grid = Grid((16, 14, 12), grid.spacing, grid.origin, grid.direction)
    array = np.zeros(grid.shape, np.uint8)
    array[2:10, 2:12, 2:13] = 1
    array[4:8, 4:8, 4:9] = 3
    array[4:8, 9:11, 4:9] = 7
    return Labelmap(array, grid, {1: "body", 3: "lungs", 7: "spleen", 9: "bone"})


@pytest.fixture
def ct_node(scene, ct):
    """The CT as a node of the scene."""
    return volume_nodes.volume_to_node(ct, "CT")


@pytest.fixture
def logic():
    """The console calls."""
    return Logic()


# The panel


@pytest.fixture(scope="module")
def started():
    """The application that a file's tests of the panel share."""
    pytest.importorskip("PySide6", reason="PySide6 is not installed")
    import Harness

    with Harness.application() as user:
        yield user


@pytest.fixture
def user(started, scene):
    """The user of an application with an empty scene, who agrees to everything, and must not be shown a traceback."""
    gc.collect()  # parameters of panels that are gone would still watch the scene
    started.clear()
    yield started
    assert started.tracebacks == [], "an exception left a slot or an observer: the user would see a traceback"


@pytest.fixture
def fake_logic():
    """A logic that notes its calls."""
    return FakeLogic()


@pytest.fixture
def panel(user, fake_logic):
    """The panel in the module's widget, as Slicer shows it, with another logic in it."""
    import slicer
    from XRayTo3DSlicer.panels.panel import Panel

    import XRayTo3D

    made = Panel(fake_logic)
    made.setScene(slicer.mrmlScene)
    made.setParameters(XRayTo3D.XRayTo3DLogic().getParameterNode())
    yield made
    made.setParameters(None)
    made.setScene(None)


@pytest.fixture
def bare_ct(user):
    """A volume node without an image, named CT."""
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")


@pytest.fixture
def two_views(panel, bare_ct):
    """A panel with a CT whose AP and lateral views were rendered."""
    panel.parameters.ctNode = bare_ct
    panel.inputs.ui.renderButton.click()
    return panel
