"""Imports point one way, read from the source: each room uses those before it in ROOMS, Slicer's side the library.

Beside the direction: no circle of files, and no private name (``_x``) that crosses from one room into another.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("XRayTo3DLib", "XRayTo3DSlicer")
#: What Slicer brings along, and what only the application has.
BUNDLED = {"numpy", "scipy", "SimpleITK", "vtk", "vtkmodules", "pydicom", "PIL", "requests", "packaging"}
APPLICATION = {"slicer", "qt", "ctk"}
#: Names that only the application gives: imported when they are needed, never at import.
OPTIONAL = {"PyTorchUtils", "SampleData"}

#: The rooms of the library from the ground up; a file imports from its own room and from those before it.
ROOMS = (
    "errors", "progress", "memory", "files",
    "geometry", "images", "projection", "models", "anatomy", "fusion", "io", "simulation", "reconstruction", "shapes",
    "parametrized", "evaluation", "report", "cohort", "training", "cli",
)  # fmt: skip
#: Slicer's side from bottom to top; all of it may use the library, but for what makes models and the command line.
SIDES = ("nodes", "logic", "panels", "module")
_PANELS = {"parameters", "dependencies", "sample_data"}


def modules(root: Path) -> dict[str, Path]:
    """Every module of the packages, by its dotted name."""
    found = {}
    for top in (root / "XRayTo3DLib", root / "XRayTo3D"):
        base = top if top.name == "XRayTo3D" else root
        for path in sorted(top.rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def layer(module: str) -> str:
    """The room of a module of the library, or the side of one of Slicer's; the package itself is "library"."""
    parts = module.split(".")
    if parts[0] == "XRayTo3DLib":
        return parts[1] if len(parts) > 1 else "library"
    if parts[0] == "XRayTo3D":
        return "module"
    name = parts[1] if len(parts) > 1 else ""
    if name == "panels" or name in _PANELS:
        return "panels"
    return "logic" if name in ("logic", "demo_scene") else "nodes"


def _points_back(own: str, target: str) -> bool:
    """Whether a file of the layer ``own`` must not import one of ``target``."""
    if target == "library":
        return False
    if own in ROOMS:
        return target not in ROOMS or ROOMS.index(target) > ROOMS.index(own)
    if own in SIDES:
        return SIDES.index(target) > SIDES.index(own) if target in SIDES else target in ("training", "cli")
    return True  # the package's own file imports nothing at all by name


def imports(path: Path, module: str, known: dict[str, Path], at_import_only: bool = False) -> Iterator[tuple[str, int]]:
    """The modules that a file imports, with their lines; inside functions too unless ``at_import_only``."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    waiting = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])]) if node.level else node.module
            )
            for alias in node.names:
                yield (f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else str(base)), node.lineno
        elif at_import_only and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        elif at_import_only and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def violations(root: Path) -> list[str]:
    """Every import that points the wrong way, every circle, and every use of what belongs to one file alone."""
    known, wrong = modules(root), []
    arrows: dict[str, set[str]] = {}
    for module, path in known.items():
        place = path.relative_to(root).as_posix()
        own = layer(module)
        demo = place.startswith("XRayTo3DLib/cli/demo")
        for target, line in imports(path, module, known):
            top = target.split(".")[0]
            if top in APPLICATION and top != "vtk" and (own in ROOMS or own == "library") and not demo:
                wrong.append(f"{place}:{line} imports {target}, which only XRayTo3D/ and the demo may")
            elif top in (*PACKAGES, "XRayTo3D") and not (demo and top == "XRayTo3DSlicer") and _points_back(own, layer(target)):
                wrong.append(f"{place}:{line} imports {target}: {own} -> {layer(target)} points back")
            if target in known and target != module:
                arrows.setdefault(module, set()).add(target)
        if place != "XRayTo3DLib/models/torchscript.py":
            wrong += [f"{place}:{line} uses torch.jit" for line in _torch_jit(path)]
        if place != "XRayTo3D/XRayTo3DSlicer/nodes/mrml.py":
            wrong += [f"{place}:{line} speaks of RAS in code" for line in _ras(path)]
        wrong += [f"{place}:{line} takes the private {name} from another room" for name, line in _private(path, module)]
    return wrong + [f"circle: {' -> '.join(circle)}" for circle in _circles(arrows)]


def _circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Circles of files that import each other, also inside functions: one for each file from which one is met first."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> None:
        if module in way:
            found.append([*way[way.index(module) :], module])
        elif module not in done:
            for target in sorted(arrows.get(module, ())):
                visit(target, [*way, module])
            done.add(module)

    for module in sorted(arrows):
        visit(module, [])
    return found


def _private(path: Path, module: str) -> Iterator[tuple[str, int]]:
    """Names with a leading underscore that a file takes from another room or side."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            source = str(node.module)
            for name in [*source.split(".")[2:], *(alias.name for alias in node.names)]:
                if name.startswith("_") and not name.startswith("__") and layer(source) != layer(module):
                    yield name, node.lineno


def _torch_jit(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            (isinstance(node, ast.Attribute) and node.attr == "jit" and getattr(node.value, "id", "") == "torch")
            or (isinstance(node, ast.Import) and any(alias.name.startswith("torch.jit") for alias in node.names))
            or (
                isinstance(node, ast.ImportFrom)
                and (
                    (node.module or "").startswith("torch.jit")
                    or (node.module == "torch" and any(alias.name == "jit" for alias in node.names))
                )
            )
        ):
            yield node.lineno


def _ras(path: Path) -> Iterator[int]:
    """Lines with names of Slicer's coordinates, such as GetIJKToRASMatrix; comments and texts do not count."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.NAME and re.search(r"RAS(?![a-z])|(^|_)ras($|_)", token.string):
            yield token.start[0]


def closure(root: Path, start: list[str]) -> dict[str, str]:
    """What is imported when ``start`` is imported: top-level names outside the packages, and who imports them."""
    known, outside = modules(root), {}
    waiting, seen = list(start), set(start)
    while waiting:
        module = waiting.pop()
        parents = [".".join(module.split(".")[:i]) for i in range(1, module.count(".") + 1)]
        for target in [*parents, *(name for name, _ in imports(known[module], module, known, at_import_only=True))]:
            if target in known:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
            else:
                outside.setdefault(target.split(".")[0], module)
    return outside


def test_no_arrow_turns_round() -> None:
    assert violations(ROOT) == []


def test_every_room_is_a_known_one() -> None:
    assert {layer(module) for module in modules(ROOT)} - {"library", *SIDES} <= set(ROOMS)


def test_slicer_loads_the_module_and_its_panel_with_what_it_brings_along() -> None:
    """Nothing that must be installed first, above all not torch, is imported before the user starts work."""
    outside = closure(ROOT, ["XRayTo3D", "XRayTo3DSlicer.panels.panel", "XRayTo3DSlicer.parameters"])
    foreign = {name: by for name, by in outside.items() if name not in BUNDLED | APPLICATION | set(sys.stdlib_module_names)}
    assert foreign == {}, f"imported when Slicer starts: {foreign}; import it in the function that needs it"


def test_packages_of_the_library_are_installed_by_the_panel() -> None:
    """Whatever the library imports, outside training and the command line, Slicer has or the panel installs."""
    known = modules(ROOT)
    installed = {"torch", "skimage", "jsonschema", "platformdirs", "numba"}
    used = {
        name.split(".")[0]
        for module, path in known.items()
        if layer(module) in ROOMS and layer(module) not in ("evaluation", "report", "cohort", "training", "cli")
        for name, _ in imports(path, module, known)
    }
    # Asked for by name alone (DICOM SEG), with a sentence where it is missing.
    used -= {"highdicom"}
    assert used - installed - BUNDLED - set(PACKAGES) - set(sys.stdlib_module_names) == set()
    text = (ROOT / "XRayTo3D" / "XRayTo3DSlicer" / "dependencies.py").read_text(encoding="utf-8")
    missing = {name for name in installed & used if {"skimage": "scikit-image"}.get(name, name) + ">=" not in text}
    assert missing == set()


#: A file with one line that must not stand there, and a word of the complaint.
PLANTED = (
    ("XRayTo3DLib/images/volume.py", "import slicer", "only XRayTo3D/"),
    ("XRayTo3DLib/images/volume.py", "from XRayTo3DSlicer.nodes import mrml", "points back"),
    ("XRayTo3DLib/images/volume.py", "def f():\n    from XRayTo3DLib.training import fit", "images -> training"),
    ("XRayTo3DLib/images/volume.py", "from ..cli import main", "images -> cli"),
    ("XRayTo3DLib/geometry/grid.py", "from XRayTo3DLib.images import volume", "geometry -> images"),
    ("XRayTo3DLib/training/fit.py", "import XRayTo3DLib.cli.main", "training -> cli"),
    ("XRayTo3DLib/cli/drr.py", "import XRayTo3DSlicer.logic", "cli -> logic"),
    ("XRayTo3DLib/images/volume.py", "import torch\nx = torch.jit.load", "torch.jit"),
    ("XRayTo3DLib/images/volume.py", "from torch import jit", "torch.jit"),
    ("XRayTo3DLib/images/volume.py", "node.GetIJKToRASMatrix()", "RAS"),
    ("XRayTo3DLib/images/volume.py", "from XRayTo3DLib.geometry.grid import _check", "private _check"),
    ("XRayTo3DLib/geometry/views.py", "from XRayTo3DLib.geometry import grid", "circle"),
    ("XRayTo3D/XRayTo3DSlicer/nodes/mrml.py", "from XRayTo3DSlicer.logic import console", "nodes -> logic"),
    ("XRayTo3D/XRayTo3DSlicer/logic/console.py", "from XRayTo3DSlicer.panels.panel import Panel", "logic -> panels"),
    ("XRayTo3D/XRayTo3DSlicer/logic/console.py", "from XRayTo3DSlicer import panels", "logic -> panels"),
    ("XRayTo3D/XRayTo3DSlicer/panels/panel.py", "from XRayTo3DLib.training import fit", "panels -> training"),
    ("XRayTo3D/XRayTo3DSlicer/panels/panel.py", "import XRayTo3D", "panels -> module"),
)


SLICER_FILES = ("nodes/mrml", "logic/__init__", "logic/console", "panels/__init__", "panels/panel")


def test_a_planted_violation_is_found(tmp_path: Path) -> None:
    there = {
        "XRayTo3DLib/cli/main.py": "",
        "XRayTo3DLib/training/fit.py": "",
        "XRayTo3DLib/images/volume.py": "",
        "XRayTo3DLib/geometry/grid.py": "from XRayTo3DLib.geometry import views",
        "XRayTo3DLib/geometry/views.py": "",
        "XRayTo3D/XRayTo3D.py": "",
        **{
            f"XRayTo3D/XRayTo3DSlicer/{name}.py": ""
            for name in ("nodes/mrml", "logic/__init__", "logic/console", "panels/__init__", "panels/panel")
        },
    }
    for number, (place, line, complaint) in enumerate(PLANTED):
        root = tmp_path / str(number)
        for name, text in {**there, place: line}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        found = violations(root)
        assert len(found) == 1 and complaint in found[0], (place, line, found)


def test_what_may_be_imported_is_not_complained_about(tmp_path: Path) -> None:
    for place, line in {
        "XRayTo3DLib/cli/demo.py": "from XRayTo3DSlicer import logic\nimport slicer",
        "XRayTo3DLib/training/fit.py": "from XRayTo3DLib.images import volume",
        "XRayTo3DLib/models/torchscript.py": "import torch\ntorch.jit.load",
        "XRayTo3DLib/images/volume.py": '"""LPS, not RAS."""  # no RAS here',
        "XRayTo3D/XRayTo3DSlicer/nodes/mrml.py": "node.GetIJKToRASMatrix()",
        "XRayTo3D/XRayTo3DSlicer/logic/console.py": "from XRayTo3DSlicer.nodes import mrml",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(line, encoding="utf-8")
    assert violations(tmp_path) == []


def test_a_heavy_import_at_the_start_is_found(tmp_path: Path) -> None:
    for place, line in {
        "XRayTo3D/XRayTo3D.py": "from XRayTo3DSlicer.logic.console import Logic",
        "XRayTo3D/XRayTo3DSlicer/__init__.py": "",
        "XRayTo3D/XRayTo3DSlicer/logic/__init__.py": "",
        "XRayTo3D/XRayTo3DSlicer/logic/console.py": "from XRayTo3DLib.io import volumes\ndef f():\n    import skimage",
        "XRayTo3DLib/__init__.py": "",
        "XRayTo3DLib/io/__init__.py": "",
        "XRayTo3DLib/io/volumes.py": "import typing\nif typing.TYPE_CHECKING:\n    import pandas\nelse:\n    import torch",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(line, encoding="utf-8")
    assert closure(tmp_path, ["XRayTo3D"]) == {"torch": "XRayTo3DLib.io.volumes", "typing": "XRayTo3DLib.io.volumes"}
