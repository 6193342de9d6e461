import numpy as np
import pytest
from tables import each
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkFiltersCore import vtkFeatureEdges
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkSTLReader
from vtkmodules.vtkIOPLY import vtkPLYReader
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from XRayTo3DLib.anatomy.surfaces import extract_surface, extract_surfaces
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.io.surfaces import write_surface


def ball(grid: Grid, radius: float, centre=None) -> np.ndarray:
    index = np.indices(grid.shape)[::-1].reshape(3, -1)
    points = grid.affine[:3, :3] @ index + grid.affine[:3, 3:]
    distance = np.linalg.norm(points - np.reshape(grid.centre if centre is None else centre, (3, 1)), axis=0)
    return (distance <= radius).reshape(grid.shape)


def points_of(surface) -> np.ndarray:
    return vtk_to_numpy(surface.polydata.GetPoints().GetData()).astype(float)


def open_edges(polydata) -> int:
    edges = vtkFeatureEdges()
    edges.SetInputData(polydata)
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    return edges.GetOutput().GetNumberOfCells()


@each("spacing", [(1.0, 1.0, 1.0), (1.0, 1.3, 2.5)])
@each("mirror", [1, -1])
def test_a_ball_has_its_volume_and_place_in_any_direction(turn, spacing, mirror):
    grid = Grid((44, 36, 30), spacing, (10, -200, 35), turn * [1, mirror, 1])
    radius = 14.0
    surface = extract_surface(ball(grid, radius), grid, "ball")
    assert surface.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.01)
    assert surface.closed and not surface.cut and open_edges(surface.polydata) == 0
    outward = points_of(surface) - grid.centre
    assert np.linalg.norm(outward, axis=1) == pytest.approx(radius, abs=0.6 * max(spacing))
    normals = vtk_to_numpy(surface.polydata.GetPointData().GetNormals())
    assert (np.einsum("ij,ij->i", outward, normals) > 0).all()


def test_smoothing_does_not_shrink_thin_things():
    grid = Grid((30, 30, 30), (1.0, 1.0, 1.0))
    plate = np.zeros(grid.shape, dtype=bool)
    plate[14:16, 4:26, 4:26] = True
    assert extract_surface(plate, grid).volume_ml == pytest.approx(2 * 22 * 22 / 1000, rel=0.01)


def test_at_the_border_it_is_closed_by_a_flat_face_and_says_so():
    grid = Grid((30, 30, 30), (1.0, 1.0, 1.0))
    half = ball(grid, 10, centre=(15, 15, 0))
    surface = extract_surface(half, grid)
    assert surface.cut and surface.closed and open_edges(surface.polydata) == 0
    assert surface.volume_ml == pytest.approx(half.sum() / 1000, rel=0.01)
    assert points_of(surface)[:, 2].min() == pytest.approx(-0.5, abs=0.6)  # the face of the outermost voxels


def test_a_messy_mask_is_still_watertight(rng):
    grid = Grid((24, 24, 24), (1.0, 1.0, 1.0))
    surface = extract_surface(rng.random(grid.shape) > 0.6, grid)
    assert surface.closed == (open_edges(surface.polydata) == 0)
    assert surface.closed


def test_two_pieces_make_one_surface():
    grid = Grid((60, 30, 30), (1.0, 1.0, 1.0))
    both = ball(grid, 9, (15, 15, 15)) | ball(grid, 9, (44, 15, 15))
    assert extract_surface(both, grid).volume_ml == pytest.approx(2 * 4 / 3 * np.pi * 9**3 / 1000, rel=0.01)


def test_empty_structures_are_left_out():
    grid = Grid((20, 20, 20), (1.0, 1.0, 1.0))
    labels = Labelmap(np.where(ball(grid, 6), 2, 0).astype(np.uint8), grid, {1: "body", 2: "lungs"})
    assert [surface.name for surface in extract_surfaces(labels)] == ["lungs"]
    with pytest.raises(InputError, match="empty"):
        extract_surface(labels.mask("body"), grid, "body")


def test_mask_and_grid_must_agree():
    with pytest.raises(InputError, match="pass both alike"):
        extract_surface(np.ones((4, 4, 4), dtype=bool), Grid((4, 4, 5), (1.0, 1.0, 1.0)))


@pytest.mark.parametrize(
    ("suffix", "reader"),
    [(".stl", vtkSTLReader), (".ply", vtkPLYReader), (".obj", vtkOBJReader), (".vtp", vtkXMLPolyDataReader)],
)
def test_files_hold_lps_mm_and_say_so(tmp_path, suffix, reader):
    grid = Grid((20, 20, 20), (1.0, 1.0, 1.0), (100, 200, -300))
    surface = extract_surface(ball(grid, 7), grid, "ball")
    path = tmp_path / f"ball{suffix}"
    write_surface(surface, path)
    read = reader()
    read.SetFileName(str(path))
    read.Update()
    points = vtk_to_numpy(read.GetOutput().GetPoints().GetData())
    assert points.mean(axis=0) == pytest.approx(grid.centre, abs=0.2)
    assert read.GetOutput().GetNumberOfPolys() == surface.polydata.GetNumberOfPolys()
    if suffix == ".vtp":
        assert read.GetOutput().GetFieldData().GetAbstractArray("SPACE").GetValue(0) == "LPS"
    else:
        assert b"SPACE=LPS" in path.read_bytes()[:200]
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_format_or_place_is_refused(tmp_path):
    grid = Grid((10, 10, 10), (1.0, 1.0, 1.0))
    surface = extract_surface(ball(grid, 3), grid)
    with pytest.raises(InputError, match="no known surface format"):
        write_surface(surface, tmp_path / "ball.dxf")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="could not be written"):
        write_surface(surface, tmp_path / "file" / "ball.stl")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
