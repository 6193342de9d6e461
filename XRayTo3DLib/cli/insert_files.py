"""What ``--insert FILE=WHAT`` says: a label image or a closed surface, and what it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from XRayTo3DLib.errors import InputError

if TYPE_CHECKING:
    from vtkmodules.vtkCommonDataModel import vtkPolyData

    from XRayTo3DLib.simulation.inserts import Insert

SURFACES = (".stl", ".ply", ".obj", ".vtp")
#: Slicer and this library write the frame of the points into the files as text; it stands near the beginning.
_SPACE = re.compile(rb"SPACE\s*=\s*(RAS|LPS)")
_HEADER_BYTES = 4096


def split_insert(text: str) -> tuple[Path, str, str]:
    """``FILE=WHAT`` or ``FILE:LABEL=WHAT`` to the file, the label ("" for all) and what it is made of, checked.

    A file whose name has a colon in it goes before a label.
    """
    from XRayTo3DLib.simulation.inserts import parse_material

    file, _, material = text.rpartition("=")
    if not file or not material:
        raise InputError(f"--insert {text} does not say what it is made of: write --insert screw.stl=titanium, for example.")
    try:
        parse_material(material)
    except InputError as error:
        raise InputError(f"--insert {text}: {error}") from None
    if Path(file).exists():
        return Path(file), "", material
    shorter, _, label = file.rpartition(":")
    if shorter and label and Path(shorter).exists():
        return Path(shorter), label, material
    raise InputError(f"--insert {text}: there is no file {file}; check the path.")


def read_insert(path: Path, label: str, material: str) -> Insert:
    """The insert of :func:`split_insert`, in LPS mm; :class:`InputError` for a file that holds no shape."""
    from XRayTo3DLib.io.labelmaps import read_labelmap
    from XRayTo3DLib.simulation.inserts import Insert

    if path.suffix.lower() in SURFACES:
        if label:
            raise InputError(f"{path} is a surface, which has no label {label}: leave the label out.")
        return Insert(read_surface(path), material, name=path.name)
    chosen = int(label) if label.isdecimal() else label or None
    return Insert(read_labelmap(path), material, chosen, name=path.name + (f":{label}" if label else ""))


@contextmanager
def _silent_vtk() -> Iterator[None]:
    """Without the blocks of text that VTK, and not only the reader itself, prints for a file that it cannot read."""
    from vtkmodules.vtkCommonCore import vtkObject

    shown = vtkObject.GetGlobalWarningDisplay()
    vtkObject.SetGlobalWarningDisplay(0)
    try:
        yield
    finally:
        vtkObject.SetGlobalWarningDisplay(shown)


def read_surface(path: Path) -> vtkPolyData:
    """The triangles of a .stl, .ply, .obj or .vtp file in LPS mm: RAS when the file says so, as Slicer can write it."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkSTLReader
    from vtkmodules.vtkIOPLY import vtkPLYReader
    from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

    readers: dict[str, Any] = dict(zip(SURFACES, (vtkSTLReader, vtkPLYReader, vtkOBJReader, vtkXMLPolyDataReader), strict=True))
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path.") from None
    reader = readers[path.suffix.lower()]()
    reader.SetFileName(str(path))
    with _silent_vtk():  # what is wrong is said below, in one sentence
        reader.Update()
    polydata = reader.GetOutput()
    corners = [vtk_to_numpy(cells.GetConnectivityArray()) for cells in (polydata.GetPolys(), polydata.GetStrips())]
    numbers = np.concatenate(corners)
    if not len(numbers) or numbers.min() < 0 or numbers.max() >= polydata.GetNumberOfPoints():
        raise InputError(f"{path} is not a surface that can be read, or has no triangles: export it again.")
    found = _SPACE.search(header)
    space = polydata.GetFieldData().GetAbstractArray("SPACE")
    if (found and found[1] == b"RAS") or (space is not None and space.GetValue(0) == "RAS"):
        points = vtk_to_numpy(polydata.GetPoints().GetData()) * np.array([-1, -1, 1], dtype=np.float32)
        polydata.GetPoints().SetData(numpy_to_vtk(points, deep=True))
    return polydata
