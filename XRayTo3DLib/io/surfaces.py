"""Closed triangle surfaces of structures, in LPS millimetres, with their volume.

Flying edges on the mask with a border of empty voxels, a windowed-sinc filter against the voxel steps (Taubin et al.,
ECCV 1996), then the points are moved along their normals, by a fraction of a voxel, until the surface encloses what the
voxels add up to: smoothing and the cut corners of the voxels would otherwise shrink small structures by several per
cent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkIOGeometry import vtkOBJWriter, vtkSTLWriter
from vtkmodules.vtkIOPLY import vtkPLYWriter
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing

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
