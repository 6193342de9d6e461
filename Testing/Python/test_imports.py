"""Imports point one way, read from the source: panels -> logic -> nodes -> library, training -> library, cli -> all."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("XRayTo3DLib", "XRayTo3DSlicer")
#: What Slicer brings along, and what only the application has.
BUNDLED = {"numpy", "scipy", "SimpleITK", "vtk", "vtkmodules", "pydicom", "requests", "packaging"}
APPLICATION = {"slicer", "qt", "ctk"}
#: Names that only the application gives: imported when they are needed, never at import.
OPTIONAL = {"PyTorchUtils", "SampleData"}

#: Layers from bottom to top; a module imports from its own layer or from below.
LAYERS = {"library": 0, "training": 1, "nodes": 2, "logic": 3, "panels": 4, "module": 5, "cli": 6}
_PANELS = {"parameters", "dependencies", "signal", "sample_data"}


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
    parts = module.split(".")
    if parts[0] == "XRayTo3DLib":
        return parts[1] if len(parts) > 1 and parts[1] in ("cli", "training") else "library"
    if parts[0] == "XRayTo3D":
        return "module"
    name = parts[1] if len(parts) > 1 else ""
    if name == "panels" or name in _PANELS:
        return "panels"
    return "logic" if name == "logic" else "nodes"


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
    """Every import that points the wrong way, and every use of what belongs to one file alone."""
    known, wrong = modules(root), []
    for module, path in known.items():
        place = path.relative_to(root).as_posix()
        demo = place.startswith("XRayTo3DLib/cli/demo")
        for target, line in imports(path, module, known):
            top = target.split(".")[0]
            own = layer(module)
            if top in APPLICATION and own in ("library", "training", "cli") and not demo:
                wrong.append(f"{place}:{line} imports {target}, which only XRayTo3D/ and the demo may")
            if top == "XRayTo3DSlicer" and own in ("library", "training", "cli") and not demo:
                wrong.append(f"{place}:{line} imports {target}, which in the library only the demo may")
            elif top in (*PACKAGES, "XRayTo3D") and LAYERS[layer(target)] > LAYERS[own]:
                wrong.append(f"{place}:{line} imports {target}: {own} -> {layer(target)} points back")
            elif own in ("nodes", "logic", "panels", "module") and layer(target) == "training" and top in PACKAGES:
                wrong.append(f"{place}:{line} imports {target}, which is needed to make models, never to use them")
        if place not in ("XRayTo3DLib/modelzoo.py", "XRayTo3DLib/training/export.py"):
            wrong += [f"{place}:{line} uses torch.jit" for line in _torch_jit(path)]
        if place != "XRayTo3D/XRayTo3DSlicer/mrml.py":
            wrong += [f"{place}:{line} speaks of RAS in code" for line in _ras(path)]
    return wrong


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


def test_all_layers_are_there() -> None:
    assert {layer(module) for module in modules(ROOT)} == set(LAYERS)


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
        if layer(module) == "library"
        for name, _ in imports(path, module, known)
    }
    assert used - installed - BUNDLED - set(PACKAGES) - set(sys.stdlib_module_names) == set()
    text = (ROOT / "XRayTo3D" / "XRayTo3DSlicer" / "dependencies.py").read_text(encoding="utf-8")
    missing = {name for name in installed & used if {"skimage": "scikit-image"}.get(name, name) + ">=" not in text}
    assert missing == set()


@pytest.mark.parametrize(
    ("place", "line", "complaint"),
    [
        ("XRayTo3DLib/images.py", "import slicer", "only XRayTo3D/"),
        ("XRayTo3DLib/images.py", "from XRayTo3DSlicer import mrml", "only the demo"),
        ("XRayTo3DLib/images.py", "def f():\n    from XRayTo3DLib.training import fit", "library -> training"),
        ("XRayTo3DLib/images.py", "from .cli import main", "library -> cli"),
        ("XRayTo3DLib/training/fit.py", "import XRayTo3DLib.cli.main", "training -> cli"),
        ("XRayTo3DLib/cli/drr.py", "import XRayTo3DSlicer.logic", "only the demo"),
        ("XRayTo3DLib/images.py", "import torch\nx = torch.jit.load", "torch.jit"),
        ("XRayTo3DLib/images.py", "from torch import jit", "torch.jit"),
        ("XRayTo3DLib/images.py", "node.GetIJKToRASMatrix()", "RAS"),
        ("XRayTo3D/XRayTo3DSlicer/mrml.py", "from XRayTo3DSlicer.logic import Logic", "nodes -> logic"),
        ("XRayTo3D/XRayTo3DSlicer/logic.py", "from XRayTo3DSlicer.panels.panel import Panel", "logic -> panels"),
        ("XRayTo3D/XRayTo3DSlicer/logic.py", "from XRayTo3DSlicer import panels", "logic -> panels"),
        ("XRayTo3D/XRayTo3DSlicer/panels/panel.py", "from XRayTo3DLib.training import fit", "to make models"),
        ("XRayTo3D/XRayTo3DSlicer/panels/panel.py", "import XRayTo3D", "panels -> module"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, place: str, line: str, complaint: str) -> None:
    for name in (
        "XRayTo3DLib/cli/__init__.py",
        "XRayTo3DLib/cli/main.py",
        "XRayTo3DLib/training/fit.py",
        "XRayTo3D/XRayTo3D.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("mrml", "logic", "panels/__init__", "panels/panel"):
        path = tmp_path / "XRayTo3D" / "XRayTo3DSlicer" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert violations(tmp_path) == []
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(line, encoding="utf-8")
    found = violations(tmp_path)
    assert len(found) == 1 and complaint in found[0] and found[0].startswith(place)


def test_what_may_be_imported_is_not_complained_about(tmp_path: Path) -> None:
    for place, line in {
        "XRayTo3DLib/cli/demo.py": "from XRayTo3DSlicer import logic\nimport slicer",
        "XRayTo3DLib/training/fit.py": "from XRayTo3DLib import images",
        "XRayTo3DLib/modelzoo.py": "import torch\ntorch.jit.load",
        "XRayTo3DLib/images.py": '"""LPS, not RAS."""  # no RAS here',
        "XRayTo3D/XRayTo3DSlicer/mrml.py": "node.GetIJKToRASMatrix()",
        "XRayTo3D/XRayTo3DSlicer/logic.py": "from XRayTo3DSlicer import mrml",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(line, encoding="utf-8")
    assert violations(tmp_path) == []


def test_a_heavy_import_at_the_start_is_found(tmp_path: Path) -> None:
    for place, line in {
        "XRayTo3D/XRayTo3D.py": "from XRayTo3DSlicer.logic import Logic",
        "XRayTo3D/XRayTo3DSlicer/__init__.py": "",
        "XRayTo3D/XRayTo3DSlicer/logic.py": "from XRayTo3DLib import images\ndef f():\n    import skimage",
        "XRayTo3DLib/__init__.py": "",
        "XRayTo3DLib/images.py": "import typing\nif typing.TYPE_CHECKING:\n    import pandas\nelse:\n    import torch",
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(line, encoding="utf-8")
    assert closure(tmp_path, ["XRayTo3D"]) == {"torch": "XRayTo3DLib.images", "typing": "XRayTo3DLib.images"}
