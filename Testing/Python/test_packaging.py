"""What the extension build needs: every file in CMake exactly once, real metadata, licence and pictures."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections import Counter
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
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        listed = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if not _left_out(path)]
    return sorted(name for name in set(listed) if (ROOT / name).is_file())


def _left_out(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part in (".git", "__pycache__", "build", "dist") or part.endswith((".egg-info", "_cache")) for part in parts)


def cmake_variables(folder: str) -> dict[str, list[str]]:
    """The ``set()`` commands of a CMakeLists.txt: a name to its words, with ``${...}`` put in."""
    text = (ROOT / folder / "CMakeLists.txt").read_text(encoding="utf-8")
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


def expected(folder: str) -> tuple[set[str], set[str]]:
    files = [
        name
        for name in working_tree()
        if any(name.startswith(f"{packaged}/") for packaged in PACKAGED[folder]) and not name.endswith("CMakeLists.txt")
    ]
    scripts = {name for name in files if name.endswith(".py")}
    return scripts, set(files) - scripts


@pytest.mark.parametrize("folder", PACKAGED)
def test_every_file_is_in_cmake_exactly_once(folder: str) -> None:
    for kind, found, wanted in zip(("SCRIPTS", "RESOURCES"), listed(folder), expected(folder), strict=True):
        missing = sorted(wanted - set(found))
        names = "\n".join(f"  {Path(name).relative_to(folder).as_posix()}" for name in missing)
        assert not missing, f"add to the {kind} in {folder}/CMakeLists.txt:\n{names}"
        assert [name for name, count in Counter(found).items() if count > 1] == []


@pytest.mark.parametrize("folder", PACKAGED)
def test_every_listed_file_exists_and_is_packaged(folder: str) -> None:
    for found, wanted in zip(listed(folder), expected(folder), strict=True):
        assert sorted(set(found) - wanted) == [], "listed in CMake but not there, or in the wrong list, or ignored by git"


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
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
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
        "XRayTo3DLib/model_card.schema.json",
    } <= there


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
