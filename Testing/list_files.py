"""Write the lists of files that the extension packages: ``python Testing/list_files.py``; a test compares them with the tree.

``XRayTo3DLib/files.cmake`` and ``XRayTo3D/files.cmake`` are made by this alone: run it after adding, moving or removing a file.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: List to write: the name of its variables, the folder the paths start from, and the folders whose files it holds.
LISTS = {
    "XRayTo3DLib/files.cmake": (
        "XRayTo3DLib",
        ".",
        ("XRayTo3DLib", "Resources/Baselines", "Resources/Calibration", "Resources/Models", "Resources/Regions"),
    ),
    "XRayTo3D/files.cmake": ("MODULE", "XRayTo3D", ("XRayTo3D",)),
}


def listing(name: str, root: Path = ROOT) -> str:
    """The text of one list, from the files that are there."""
    variable, base, folders = LISTS[name]
    found = [path for folder in folders for path in (root / folder).rglob("*") if path.is_file() and _packaged(path)]
    places = sorted(path.relative_to(root / base).as_posix() for path in found)
    kinds = {"SCRIPTS": [p for p in places if p.endswith(".py")], "RESOURCES": [p for p in places if not p.endswith(".py")]}
    sets = [f"set({variable}_PYTHON_{kind}\n" + "".join(f"  {p}\n" for p in files) + "  )\n" for kind, files in kinds.items()]
    return "# Made by Testing/list_files.py.\n" + "\n".join(sets)


def _packaged(path: Path) -> bool:
    kept_out = (
        path.suffix in (".cmake", ".pyc", ".md", ".nbi", ".nbc") or path.name == "CMakeLists.txt" or path.name.startswith(".")
    )
    return not kept_out and "__pycache__" not in path.parts


if __name__ == "__main__":
    for name in LISTS:
        (ROOT / name).write_text(listing(name), encoding="utf-8")
