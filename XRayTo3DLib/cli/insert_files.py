"""What ``--insert FILE=WHAT`` says: a label image or a closed surface, and what it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from XRayTo3DLib.errors import InputError

if TYPE_CHECKING:
    from XRayTo3DLib.simulation.inserts import Insert


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
    if _exists(file):
        return Path(file), "", material
    shorter, _, label = file.rpartition(":")
    if shorter and label and _exists(shorter):
        return Path(shorter), label, material
    raise InputError(f"--insert {text}: there is no file {file}; check the path.")


def read_insert(path: Path, label: str, material: str) -> Insert:
    """The insert of :func:`split_insert`, in LPS mm; :class:`InputError` for a file that holds no shape."""
    from XRayTo3DLib.io.segmentations import read_labelmap
    from XRayTo3DLib.io.surfaces import SURFACES, read_surface
    from XRayTo3DLib.simulation.inserts import Insert

    if path.suffix.lower() in SURFACES:
        if label:
            raise InputError(f"{path} is a surface, which has no label {label}: leave the label out.")
        return Insert(read_surface(path), material, name=path.name)
    chosen = int(label) if label.isdecimal() else label or None
    return Insert(read_labelmap(path), material, chosen, name=path.name + (f":{label}" if label else ""))


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name that no file system takes
        return False
