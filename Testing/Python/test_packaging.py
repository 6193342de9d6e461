"""What the extension build needs: every file in CMake exactly once, real metadata, licence and pictures."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import SimpleITK

ROOT = Path(__file__).resolve().parents[2]
#: Folders whose files are packaged, by the folder of the CMakeLists.txt that lists them.
PACKAGED = {".": ("XRayTo3DLib", "Resources/Baselines", "Resources/Models", "Resources/Regions"), "XRayTo3D": ("XRayTo3D",)}
#: The Extensions Index refuses a repository of 100 MB, history included; the models have 30 MB.
LARGEST_FILE, ALL_MODELS, ALL_FILES = 15e6, 30e6, 60e6
RAW = "https://raw.githubusercontent.com/XRayTo3D/SlicerXRayTo3D/main/"


def working_tree() -> list[str]:
    """Every file of the repository that git would keep, by its path."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        listed = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if not _left_out(path)]
    return sorted(name for name in set(listed) if (ROOT / name).is_file())


def _left_out(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part in (".git", "__pycache__", "build", "dist") or part.endswith((".egg-info", "_cache")) for part in parts)


def cmake_variables(folder: str) -> dict[str, list[str]]:
    """The ``set()`` commands of a CMakeLists.txt and of the list beside it: a name to its words, with ``${...}`` put in."""
    lists = "XRayTo3DLib/files.cmake" if folder == "." else f"{folder}/files.cmake"
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in (f"{folder}/CMakeLists.txt", lists))
    text = "\n".join(re.sub(r'^((?:[^"#]|"[^"]*")*)#.*$', r"\1", line) for line in text.splitlines())
    variables: dict[str, list[str]] = {}
    for name, body in re.findall(r'\bset\s*\(\s*(\w+)((?:[^()"]|"[^"]*")*)\)', text):
        words = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|([^\s"]+)', body)]
        variables[name] = [
            re.sub(r"\$\{(\w+)\}", lambda match: " ".join(variables.get(match[1], [match[0]])), word) for word in words
        ]
    return variables


def listed(folder: str) -> tuple[list[str], list[str]]:
    """The scripts and the resources that the CMakeLists.txt of a folder packages, by their paths in the repository."""
    variables = cmake_variables(folder)
    prefix = "XRayTo3DLib" if folder == "." else "MODULE"
    scripts, resources = (
        [(Path(folder) / name).as_posix() for name in variables[f"{prefix}_PYTHON_{kind}"]] for kind in ("SCRIPTS", "RESOURCES")
    )
    return scripts, resources


def test_the_lists_of_files_are_those_of_the_tree() -> None:
    spec = importlib.util.spec_from_file_location("list_files", ROOT / "Testing" / "list_files.py")
    assert spec is not None and spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    for name in maker.LISTS:
        assert (ROOT / name).read_text(encoding="utf-8") == maker.listing(name), "run python Testing/list_files.py"
    kept = set(working_tree())
    assert {path for folder in PACKAGED for files in listed(folder) for path in files} <= kept, "a packaged file is ignored by git"


def test_the_wheel_names_every_package() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = set(re.findall(r'"(XRayTo3D[\w.]+)"', text[text.index("packages = [") : text.index("]", text.index("packages = ["))]))
    there = {
        ".".join(path.parent.relative_to(top).parts)
        for top in (ROOT, ROOT / "XRayTo3D")
        for package in ("XRayTo3DLib", "XRayTo3DSlicer")
        for path in (top / package).rglob("__init__.py")
    }
    assert there <= named


def test_wheel_and_source_archive_carry_all(tmp_path: Path) -> None:
    """Both are built from a copy of the tree; the unpacked wheel alone finds its bundled model, schema, recipe and template."""
    source, unpacked = tmp_path / "source", tmp_path / "wheel"
    kept = [name for name in working_tree() if not name.startswith("Testing/")]
    for name in kept:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    build = "import setuptools.build_meta as b; b.build_sdist({0!r}); b.build_wheel({0!r})".format(str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, encoding="utf-8", errors="replace", timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,), (archive,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        carried = set(file.namelist())
        file.extractall(unpacked)
    with tarfile.open(archive) as file:
        shipped = {name.partition("/")[2] for name in file.getnames()}
    library = {name for name in kept if name.startswith("XRayTo3DLib/") and not name.endswith(".cmake")}
    slicer = {name for name in kept if name.startswith("XRayTo3D/XRayTo3DSlicer/")}
    resources = {
        name for name in kept if name.startswith(("Resources/Models/", "Resources/Baselines/")) and not name.endswith(".md")
    }
    assert (library | slicer | resources) - shipped == set()
    moved = {n.removeprefix("XRayTo3D/") for n in slicer} | {
        "XRayTo3DLib/resources/" + n.removeprefix("Resources/") for n in resources
    }
    assert (library | moved) - carried == set()
    assert_runs_alone(unpacked, tmp_path)


def assert_runs_alone(folder: Path, scratch: Path) -> None:
    """Every module of the library in ``folder`` can be imported from there, and the bundled model is found there and is whole."""
    use = """
import importlib, pkgutil, XRayTo3DLib as library
for module in pkgutil.walk_packages(library.__path__, "XRayTo3DLib."):
    if not module.name.endswith(("__main__", "demo_scene")):
        importlib.import_module(module.name)
model = library.find_models()[0]
library.verify_model(model)
print(library.__file__, model.path)
"""
    environment = {**os.environ, "PYTHONPATH": str(folder), "XRAYTO3D_HOME": str(scratch / "home")}
    done = subprocess.run(
        [sys.executable, "-c", use],
        cwd=scratch,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
    )
    assert done.returncode == 0 and done.stdout.count(str(folder)) == 2, done.stdout + done.stderr[-2000:]


#: What Slicer's build does, as far as these files go: it copies every listed file below one folder, under the path
#: it has in the list, and refuses one that is missing.
_SLICER = """
macro(cmake_minimum_required)
endmacro()
macro(project name)
  set(PROJECT_NAME ${name})
endmacro()
macro(find_package name)
  if(NOT "${name}" STREQUAL "Slicer")
    message(FATAL_ERROR "find_package(${name})")
  endif()
endmacro()
function(add_subdirectory folder)
  set(CMAKE_CURRENT_SOURCE_DIR "${CMAKE_CURRENT_SOURCE_DIR}/${folder}")
  include("${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt")
endfunction()
function(slicer_add_python_unittest keyword script)
  if(NOT "${keyword}" STREQUAL "SCRIPT" OR NOT EXISTS "${script}")
    message(FATAL_ERROR "slicer_add_python_unittest(${keyword} ${script})")
  endif()
  message(STATUS "unittest registered")
endfunction()
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(PARSE_ARGV 0 MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES")
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule(${ARGN})")
  endif()
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "nonexistent file ${file}")
    endif()
    get_filename_component(folder "${INSTALLED}/${file}" DIRECTORY)
    file(COPY "${CMAKE_CURRENT_SOURCE_DIR}/${file}" DESTINATION "${folder}")
  endforeach()
endfunction()
file(WRITE "${INSTALLED}.cmake" "")
foreach(name Slicer_USE_FILE Slicer_EXTENSION_GENERATE_CONFIG Slicer_EXTENSION_CPACK)
  set(${name} "${INSTALLED}.cmake")
endforeach()
set(CMAKE_CURRENT_SOURCE_DIR "${SOURCE}")
include("${SOURCE}/CMakeLists.txt")
foreach(name EXTENSION_LICENSE_FILE EXTENSION_README_FILE)
  message(STATUS "${name}=${${name}}")
endforeach()
"""


def test_cmake_accepts_the_files_and_installs_the_packages_side_by_side(tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs the command cmake")
    script, installed = tmp_path / "slicer.cmake", tmp_path / "qt-scripted-modules"
    script.write_text(_SLICER, encoding="utf-8")
    command = [cmake, f"-DSOURCE={ROOT}", f"-DINSTALLED={installed}", "-DBUILD_TESTING=ON", "-P", str(script)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=60)
    assert done.returncode == 0, done.stderr
    assert "CMake Warning" not in done.stderr, done.stderr
    assert "unittest registered" in done.stdout
    assert f"EXTENSION_LICENSE_FILE={ROOT}/LICENSE" in done.stdout
    assert f"EXTENSION_README_FILE={ROOT}/README.md" in done.stdout
    there = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    wanted = {Path(name).relative_to(folder).as_posix() for folder in PACKAGED for found in listed(folder) for name in found}
    assert there == wanted
    # The places where the code looks for them.
    assert {"XRayTo3D.py", "XRayTo3DLib/__init__.py", "XRayTo3DSlicer/__init__.py"} <= there
    assert {
        "Resources/UI/XRayTo3DInputs.ui",
        "Resources/Icons/XRayTo3D.png",
        "XRayTo3DLib/models/model_card.schema.json",
    } <= there
    assert_runs_alone(installed, tmp_path)


def test_metadata_of_the_extension() -> None:
    variables = cmake_variables(".")
    assert variables["EXTENSION_DEPENDS"] == ["PyTorch"]
    assert variables["EXTENSION_HOMEPAGE"] == ["https://github.com/XRayTo3D/SlicerXRayTo3D"]
    assert len(variables["EXTENSION_DESCRIPTION"]) == len(variables["EXTENSION_CONTRIBUTORS"]) == 1
    for name in ("EXTENSION_LICENSE_FILE", "EXTENSION_README_FILE"):
        path = variables[name][0].removeprefix("${CMAKE_CURRENT_SOURCE_DIR}/")
        assert (ROOT / path).is_file(), f"{name} names {path}"
    for url in [*variables["EXTENSION_ICONURL"], *variables["EXTENSION_SCREENSHOTURLS"][0].split()]:
        assert url.startswith(RAW)
        assert (ROOT / url.removeprefix(RAW)).is_file(), f"{url} names a file that the repository does not have"


def test_catalog_entry() -> None:
    text = (ROOT / "XRayTo3D.json").read_bytes()
    assert b"\r" not in text and text.endswith(b"}\n")
    entry = json.loads(text)
    assert set(entry) == {"$schema", "build_dependencies", "category", "scm_url", "tier"}
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["build_dependencies"] == cmake_variables(".")["EXTENSION_DEPENDS"]
    assert entry["category"] in (
        "Tomographic Reconstruction",
        "Image Synthesis",
        "Simulation",
        "Segmentation",
        "Registration",
    )
    assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+\.git", entry["scm_url"])
    assert isinstance(entry["tier"], int) and 1 <= entry["tier"] <= 5


def test_licence_is_the_whole_apache_licence() -> None:
    text = " ".join((ROOT / "LICENSE").read_text(encoding="utf-8").split())
    assert text.startswith("Apache License Version 2.0, January 2004")
    for number, title in enumerate(("Definitions", "Grant of Copyright License", "Grant of Patent License", "Redistribution"), 1):
        assert f"{number}. {title}." in text
    assert "9. Accepting Warranty or Additional Liability." in text and "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize(
    ("name", "size"),
    [("XRayTo3D/Resources/Icons/XRayTo3D.png", (128, 128)), ("Resources/Screenshots/panel.png", None)],
)
def test_pictures_are_real(name: str, size: tuple[int, int] | None) -> None:
    header = (ROOT / name).read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n" and header[12:16] == b"IHDR"
    width, height = struct.unpack(">II", header[16:24])
    assert size is None or (width, height) == size
    assert min(width, height) >= 128
    pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(ROOT / name)))
    assert len({tuple(pixel) for pixel in pixels.reshape(-1, pixels.shape[-1])[:: max(1, width * height // 20000)]}) > 20


def test_files_are_small_enough_for_the_extensions_index() -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in working_tree()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE} == {}
    assert sum(size for name, size in sizes.items() if name.startswith("Resources/Models/")) <= ALL_MODELS
    assert sum(sizes.values()) <= ALL_FILES
