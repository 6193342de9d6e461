"""Installing packages: only what is missing, after one question, and a sentence when it fails. Nothing is installed."""

from __future__ import annotations

import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")
ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "Testing"))

import Harness  # noqa: E402

from XRayTo3DLib.errors import InputError  # noqa: E402


@pytest.fixture(scope="module")
def started():
    with Harness.application() as user:
        from XRayTo3DSlicer import dependencies

        yield user, dependencies


class Computer:
    """Packages with their versions, and the ways to install more of them."""

    def __init__(self):
        self.versions = {"torch": "2.13.0+cpu", "scikit-image": "0.25.2", "jsonschema": "4.23.0", "platformdirs": "4.3"}
        self.versions.update(numba="0.63.1", numpy="2.4.6")
        self.settings = {}
        self.installed = []
        self.works = True
        self.error = None

    def version(self, name):
        if name not in self.versions:
            raise metadata.PackageNotFoundError(name)
        return self.versions[name]

    def install(self, how, requirements):
        if self.error is not None:
            raise self.error
        self.installed.append((how, [str(r).replace(" ", "") for r in requirements]))
        if self.works:
            self.versions.update(str(requirement).split(">=") for requirement in requirements if ">=" in str(requirement))

    def value(self, key):
        return self.settings.get(key)

    def setValue(self, key, value):
        self.settings[key] = value

    def installTorch(self, **options):
        assert options["askConfirmation"] is False, "the user was asked already"
        self.install("PyTorchUtils", [f"torch{options['torchVersionRequirement']}"])
        return object() if self.works else None


@pytest.fixture
def user(started):
    started[0].clear()
    return started[0]


@pytest.fixture
def dependencies(started):
    return started[1]


@pytest.fixture
def computer(user, monkeypatch):
    import slicer

    found = Computer()
    monkeypatch.setattr(metadata, "version", found.version)
    utils = types.SimpleNamespace(PyTorchUtilsLogic=lambda: found)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", utils)
    packaging = types.SimpleNamespace(
        pip_ensure=lambda requirements, prompt_install, requester: found.install("pip_ensure", requirements),
        pip_install=lambda requirements, show_progress: found.install(f"quietly {not show_progress}", requirements),
    )
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer.util, "pip_install", lambda r: found.install("pip_install", r), raising=False)
    monkeypatch.setattr(user, "testingEnabled", lambda: False)
    monkeypatch.setattr(user, "userSettings", lambda: found, raising=False)
    return found


def test_requirements_are_those_of_the_library(dependencies):
    try:
        import tomllib
    except ModuleNotFoundError:
        tomllib = pytest.importorskip("tomli")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {dependencies.TORCH, *dependencies.PACKAGES} <= set(project["dependencies"])
    assert dependencies.FASTER in project["optional-dependencies"]["fast"]


def test_nothing_missing_asks_nothing(dependencies, computer, user):
    dependencies.ensure()
    assert user.questions == [] and computer.installed == []


@pytest.mark.parametrize(
    ("version", "enough"),
    [("2.4.0", True), ("2.4", True), ("2.10.1+cu128", True), ("2.3.1", False), ("1.13.0a0", False), ("3", True)],
)
def test_versions_are_compared_by_their_numbers(dependencies, computer, version, enough):
    computer.versions["torch"] = version
    assert dependencies.missing() == ([] if enough else ["torch>=2.4"])


def test_one_question_then_each_by_its_own_way(dependencies, computer, user):
    del computer.versions["torch"], computer.versions["scikit-image"]
    dependencies.ensure()
    assert len(user.questions) == 1
    assert "torch>=2.4" in user.questions[0] and "scikit-image>=0.22" in user.questions[0]
    assert "jsonschema" not in user.questions[0]
    assert computer.installed == [("PyTorchUtils", ["torch>=2.4"]), ("pip_ensure", ["scikit-image>=0.22"])]


def test_older_slicer_has_pip_install(dependencies, computer, monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    del computer.versions["platformdirs"]
    dependencies.ensure()
    assert computer.installed == [("pip_install", ["platformdirs>=4"])]


def test_refused(dependencies, computer, user):
    del computer.versions["torch"]
    user.answer = False
    with pytest.raises(dependencies.Unavailable, match=r"torch>=2.4 are not installed, so nothing was started"):
        dependencies.ensure()
    assert computer.installed == []


def test_without_the_pytorch_extension(dependencies, computer, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    del computer.versions["torch"]
    with pytest.raises(InputError, match="install it with the Extensions Manager"):
        dependencies.ensure()


@pytest.mark.parametrize("name", ["torch", "scikit-image"])
def test_an_installation_that_fails(dependencies, computer, name):
    del computer.versions[name]
    computer.error = OSError("no network")
    with pytest.raises(InputError, match=r"could not be installed .*Internet connection"):
        dependencies.ensure()


@pytest.mark.parametrize("name", ["torch", "scikit-image"])
def test_an_installation_that_installs_nothing(dependencies, computer, name):
    del computer.versions[name]
    computer.works = False
    with pytest.raises(InputError, match="could not be installed"):
        dependencies.ensure()


# numba makes the work faster, and nothing else depends on it


@pytest.fixture
def without_numba(computer):
    del computer.versions["numba"]
    return computer


def test_numba_comes_with_what_is_needed_in_the_same_question(dependencies, without_numba, user):
    del without_numba.versions["scikit-image"], without_numba.versions["torch"]
    dependencies.ensure()
    assert len(user.questions) == 1 and dependencies.FASTER in user.questions[0]
    pinned = ("quietly True", [dependencies.FASTER, "numpy==2.4.6"])
    assert without_numba.installed == [("PyTorchUtils", ["torch>=2.4"]), ("pip_ensure", ["scikit-image>=0.22"]), pinned]
    dependencies.ensure()
    assert len(user.questions) == 1, "nothing is missing any more"


@pytest.mark.parametrize("answer", [True, False])
def test_numba_alone_is_offered_once(dependencies, without_numba, user, answer):
    user.answer = answer
    without_numba.works = False  # so that it stays missing
    dependencies.ensure()
    dependencies.ensure()
    assert len(user.questions) == 1 and "works" in user.questions[0]
    assert len(without_numba.installed) == (1 if answer else 0)


@pytest.mark.parametrize("failure", ["error", "nothing"])
def test_numba_that_cannot_be_installed_is_a_line_in_the_log(dependencies, without_numba, user, caplog, failure):
    if failure == "error":
        without_numba.error = OSError("no wheel for this Python")
    without_numba.works = False
    dependencies.ensure()
    (line,) = [record.getMessage() for record in caplog.records]
    assert dependencies.FASTER in line and "slower" in line
    assert ("no wheel for this Python" in line) == (failure == "error")
    assert user.errors == []


def test_numba_that_fails_beside_what_is_needed_does_not_stop_the_work(dependencies, without_numba, user, monkeypatch):
    import slicer

    def refuse(requirements):
        raise RuntimeError("pip failed")

    monkeypatch.setattr(slicer.util, "pip_install", refuse)
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)  # as in Slicer 5.10
    del without_numba.versions["torch"]
    dependencies.ensure()
    assert dependencies.missing() == [] and "numba" not in without_numba.versions
    dependencies.ensure()
    assert len(user.questions) == 1, "it is not asked for again by itself"


def test_the_application_in_a_test_is_never_asked_for_numba(dependencies, without_numba, user, monkeypatch):
    monkeypatch.setattr(user, "testingEnabled", lambda: True)
    dependencies.ensure()
    del without_numba.versions["jsonschema"]
    dependencies.ensure()
    assert [package for _, packages in without_numba.installed for package in packages] == ["jsonschema>=4.20"]
