"""Closed surfaces as files, both directions: .stl, .ply, .obj and .vtp, in mm, LPS unless the file says RAS.

A damaged file can end the process in VTK's readers: they run in a process of their own, where there is a Python to start one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkObject, vtkPoints, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkFiltersCore import vtkTriangleFilter
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkOBJWriter, vtkSTLReader, vtkSTLWriter
from vtkmodules.vtkIOPLY import vtkPLYReader, vtkPLYWriter
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader, vtkXMLPolyDataWriter

from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import readable_file, writing
from XRayTo3DLib.memory import available_memory

#: The endings of the formats, with their readers.
SURFACES = {".stl": vtkSTLReader, ".ply": vtkPLYReader, ".obj": vtkOBJReader, ".vtp": vtkXMLPolyDataReader}
#: Slicer and this library write the frame of the points into the files as text; it stands near the beginning.
_SPACE = re.compile(rb"SPACE\s*=\s*(RAS|LPS)")
_HEADER_BYTES = 4096
#: Millimetres between which the size of a surface lies, and its distance from the origin stays.
_SMALLEST, _LARGEST = 1e-3, 1e6
_SECONDS = 120
#: Written into the files: the unit, and the coordinate system in the form that Slicer reads.
_COMMENT = "XRayTo3D, unit mm, SPACE=LPS"


def write_surface(surface: Surface, path: str | Path) -> None:
    """Write .stl (binary), .ply, .obj or .vtp in LPS mm, which the file says; it appears whole or not at all.

    Raises :class:`InputError` for another ending or when the file cannot be written.
    """
    writers: dict[str, Any] = {
        ".stl": vtkSTLWriter,
        ".ply": vtkPLYWriter,
        ".obj": vtkOBJWriter,
        ".vtp": vtkXMLPolyDataWriter,
    }
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise InputError(f"{path} has no known surface format: end the name in {', '.join(writers)}.")
    polydata = surface.polydata
    if suffix == ".vtp":
        polydata = vtkPolyData()
        polydata.ShallowCopy(surface.polydata)
        space = vtkStringArray()
        space.SetName("SPACE")
        space.InsertNextValue("LPS")
        polydata.GetFieldData().AddArray(space)
    with writing(path) as temporary:
        writer = writers[suffix]()
        writer.SetFileName(str(temporary))
        writer.SetInputData(polydata)
        if suffix == ".stl":
            writer.SetHeader(_COMMENT)
        if suffix == ".ply":
            writer.AddComment(_COMMENT)
        if suffix in (".stl", ".ply"):
            writer.SetFileTypeToBinary()
        if not writer.Write() or writer.GetErrorCode() or not temporary.exists():
            raise OSError("the surface writer failed")
        if suffix == ".obj":  # its writer has no setting for comments
            text = temporary.read_text()
            temporary.write_text(f"# {_COMMENT}\n{text}")


def read_surface(path: str | Path) -> vtkPolyData:
    """The triangles of a .stl, .ply, .obj or .vtp file in LPS mm: turned from RAS when the file says so, as Slicer can write it.

    Raises :class:`InputError` for another ending, a file that is damaged or holds no triangles, points that are not finite, and
    a size that is no size in mm.
    """
    source = readable_file(path, "surface")
    if source.suffix.lower() not in SURFACES:
        raise InputError(f"{source} has no known surface format: its name should end in {', '.join(SURFACES)}.")
    if not Path(sys.executable or "").stem.lower().startswith("python"):
        points, triangles = _loaded(source)  # inside an application
    else:
        points, triangles = _loaded_in_a_process(source)
    if not len(triangles) or triangles.min() < 0 or triangles.max() >= len(points) or not np.isfinite(points).all():
        raise InputError(f"{source} is not a surface that can be read, or has no triangles: export it again.")
    extent = float(np.ptp(points, axis=0).max())
    if not _SMALLEST <= extent <= _LARGEST or np.abs(points).max() > 10 * _LARGEST:
        raise InputError(f"The surface {source} measures {extent:.3g} mm, which cannot be: export it in millimetres.")
    return _polydata(points, triangles)


def _loaded_in_a_process(source: Path) -> tuple[np.ndarray, np.ndarray]:
    damaged = InputError(f"{source} is not a surface that can be read; it may be damaged: export it again.")
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "surface.npz"
        command = [sys.executable, "-m", __name__, os.fspath(source), str(found)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise damaged from None
        if done.returncode != 0 or not found.is_file():
            raise damaged
        with np.load(found) as arrays:
            return arrays["points"], arrays["triangles"]


def _loaded(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) in LPS mm and triangles (M, 3), float64 and int64, by VTK's reader of the file's ending."""
    with source.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    shown = vtkObject.GetGlobalWarningDisplay()
    vtkObject.SetGlobalWarningDisplay(0)  # what is wrong is said in one sentence, not in blocks of text
    try:
        reader: Any = SURFACES[source.suffix.lower()]()
        reader.SetFileName(str(source))
        reader.Update()
        polydata = reader.GetOutput()
        corners = [vtk_to_numpy(cells.GetConnectivityArray()) for cells in (polydata.GetPolys(), polydata.GetStrips())]
        numbers = np.concatenate(corners)
        if not len(numbers) or numbers.min() < 0 or numbers.max() >= polydata.GetNumberOfPoints():
            return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
        space = polydata.GetFieldData().GetAbstractArray("SPACE")
        filter_ = vtkTriangleFilter()
        filter_.PassVertsOff()
        filter_.PassLinesOff()
        filter_.SetInputData(polydata)
        filter_.Update()
        whole = filter_.GetOutput()
    finally:
        vtkObject.SetGlobalWarningDisplay(shown)
    points = vtk_to_numpy(whole.GetPoints().GetData()).astype(np.float64)
    triangles = vtk_to_numpy(whole.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    found = _SPACE.search(header)
    if (found and found[1] == b"RAS") or (space is not None and space.GetValue(0) == "RAS"):
        points = points * np.array([-1, -1, 1])
    return points, triangles


def _polydata(points: np.ndarray, triangles: np.ndarray) -> vtkPolyData:
    places, cells, polydata = vtkPoints(), vtkCellArray(), vtkPolyData()
    places.SetData(numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float32), deep=True))
    ends = np.arange(0, triangles.size + 1, 3)
    cells.SetData(numpy_to_vtkIdTypeArray(ends, deep=True), numpy_to_vtkIdTypeArray(triangles.ravel(), deep=True))
    polydata.SetPoints(places)
    polydata.SetPolys(cells)
    return polydata


def _main(source: str, target: str) -> None:
    """What the process of its own does; it may take half of the memory that is free."""
    if sys.platform.startswith("linux"):
        import resource

        bound = max(available_memory() // 2, 1 << 30) + (4 << 30)  # of addresses: what libraries reserve counts too
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    points, triangles = _loaded(Path(source))
    np.savez(target, points=points, triangles=triangles)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
