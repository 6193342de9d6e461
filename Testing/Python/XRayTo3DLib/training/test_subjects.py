"""The CTs of a training: cached by their content, whatever their names, whoever else is writing, however they are stored."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_recipe import phantoms, tiny

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.volumes import read_volume, write_volume
from XRayTo3DLib.simulation.phantom import thorax_phantom
from XRayTo3DLib.training import subjects
from XRayTo3DLib.training.subjects import load_subject, load_subjects


@pytest.fixture
def data(tmp_path):
    return phantoms(tmp_path / "data")


def test_only_wanted_cts_are_taken_and_a_source_shares_its_weight(data, tmp_path):
    found = load_subjects(tiny().data, data, tmp_path / "cache")
    assert [(s.name, s.group, s.weight) for s in found] == [("one", "torso", 0.5), ("two", "torso", 0.5)]
    with pytest.raises(InputError, match="lacks the folder cts"):
        load_subjects(tiny().data, tmp_path, tmp_path / "cache")


def test_a_ct_of_the_same_name_is_another_ct(data, tmp_path):
    """Two data folders, and one whose file is replaced: each trains on its own CT."""
    cache, first = tmp_path / "cache", data / "cts" / "one.nii.gz"
    other = tmp_path / "other" / "one.nii.gz"
    volume = read_volume(first)
    write_volume(replace(volume, array=volume.array + 100), other)
    one, two = load_subject(first, cache, "torso"), load_subject(other, cache, "torso")
    assert torch.equal(two.values, (one.values + 100).clamp(max=4000))
    first.write_bytes(other.read_bytes())
    assert torch.equal(load_subject(first, cache, "torso").values, two.values)


def test_a_damaged_cache_is_made_anew(data, tmp_path):
    cache, path = tmp_path / "cache", data / "cts" / "one.nii.gz"
    whole = load_subject(path, cache, "torso")
    (stored,) = cache.iterdir()
    content = stored.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 16
    for damaged in (b"", b"nonsense", content[: len(content) // 2], bytes(flipped)):
        stored.write_bytes(damaged)
        again = load_subject(path, cache, "torso")
        assert torch.equal(again.values, whole.values) and np.array_equal(again.to_index, whole.to_index)
        assert stored.read_bytes() != damaged


def test_two_trainings_may_fill_one_empty_cache(data, tmp_path, monkeypatch):
    """Both hold a finished temporary file before either takes its place."""
    meeting, save = threading.Barrier(2, timeout=60), np.savez

    def saved(file, **arrays):
        save(file, **arrays)
        meeting.wait()

    monkeypatch.setattr(subjects.np, "savez", saved)
    found, failed = [], []

    def load():
        try:
            found.append(load_subject(data / "cts" / "one.nii.gz", tmp_path / "cache", "torso"))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and torch.equal(found[0].values, found[1].values)
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".npz"]


def test_voxels_stored_in_any_order_are_the_same_patient(tmp_path):
    """RAS, feet first and axes exchanged: the top of the scan and the HU at every place are those of the LPS twin."""
    from XRayTo3DLib.training.augmentation import sample

    volume = thorax_phantom().volume(Grid.centred((0, 0, 0), (24, 18, 20), 16.0), supersample=1)
    volume = replace(volume, grid=Grid.centred((30, -20, 4000), (24, 18, 20), 16.0))
    generator = torch.Generator().manual_seed(1)
    offsets = 200 * (torch.rand(500, 3, generator=generator) - 0.5)
    wanted = None
    for axes, signs in (((0, 1, 2), (1, 1, 1)), ((0, 1, 2), (-1, -1, 1)), ((0, 1, 2), (1, 1, -1)), ((2, 0, 1), (1, -1, -1))):
        corner = np.array([0.0 if s > 0 else volume.grid.size[i] - 1 for i, s in enumerate(signs)])
        direction = (np.eye(3) * signs)[:, list(axes)]
        size = tuple(volume.grid.size[a] for a in axes)
        grid = Grid(size, (16.0,) * 3, tuple(np.array(volume.grid.origin) + 16.0 * corner), direction)
        array = volume.array[tuple(slice(None, None, s) for s in signs[::-1])]
        array = np.ascontiguousarray(np.transpose(array, [2 - a for a in axes[::-1]]))
        path = tmp_path / f"{axes}{signs}.nrrd"
        write_volume(Volume(array, grid), path)
        subject = load_subject(path, tmp_path / "cache", "torso")
        found = sample(subject, offsets, np.asarray(volume.grid.centre)), subject.top, subject.length
        wanted = wanted or found
        torch.testing.assert_close(found[0], wanted[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[1], wanted[1], atol=1e-4)
        assert found[2] == pytest.approx(wanted[2])
    assert wanted[0].std() > 0.2
