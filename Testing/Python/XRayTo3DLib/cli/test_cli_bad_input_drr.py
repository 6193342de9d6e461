"""``xrayto3d drr``: CTs that are none, matrices, options and outputs that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from bad_input import bad_ct, refused

from XRayTo3DLib.geometry.views import view_projection

_GOOD = view_projection("AP", (0, 0, 0), (32, 32), 12.0, 1500.0).matrix


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "does not exist"),
        ("text", "damaged"),
        ("empty file", "damaged"),
        ("truncated", "incomplete"),
        ("2D", "2 dimensions"),
        ("4D", "4 dimensions"),
        ("one slice", "at least 2 voxels"),
        ("NaN", "NaN"),
        ("constant", "constant"),
        ("8 bit", "8-bit"),
        ("unscaled", "not HU"),
        ("colour", "colour"),
    ],
)
def test_no_ct(run, ct_file, tmp_path, kind, words):
    out = tmp_path / "out"
    refused(run("drr", bad_ct(kind, tmp_path, ct_file), "--view", "AP", "--out", out), out, words)


def test_ct_beside_the_beam(run, ct_file, tmp_path):
    out = tmp_path / "out"
    found = run("drr", ct_file, "--view", "AP", "--size", "32", "--isocentre", "5000", "0", "0", "--out", out)
    refused(found, out, "misses the volume")


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.zeros((3, 4)), "singular"),
        (np.vstack([_GOOD[:2], _GOOD[0] + _GOOD[1]]), "singular"),
        (np.diag([-1, 1, 1]) @ _GOOD, "mirrored"),
        (_GOOD[:2], "does not hold a 3x4 matrix"),
    ],
    ids=["zero", "dependent rows", "mirrored", "2x4"],
)
def test_matrices_that_are_no_projection(run, ct_file, tmp_path, matrix, words):
    np.savetxt(tmp_path / "m.txt", matrix)
    out = tmp_path / "out"
    refused(run("drr", ct_file, "--matrix", tmp_path / "m.txt", "--size", "32", "--out", out), out, words)


def test_matrix_without_detector(run, ct_file, tmp_path):
    np.savetxt(tmp_path / "m.txt", _GOOD)
    out = tmp_path / "out"
    refused(run("drr", ct_file, "--matrix", tmp_path / "m.txt", "--out", out), out, "--size")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--view", "AP", "--view", "ap"], "twice"),
        (["--view", "UPSIDE"], "not known"),
        ([], "No view"),
        (["--view", "AP", "--parallel", "--sdd", "1500"], "no meaning"),
        (["--view", "AP", "--parallel", "--beam", "scanned"], "contradict"),
        (["--view", "AP", "--beam", "scanned", "--sid", "1100"], "source-to-detector"),
        (["--view", "AP", "--sid", "2000"], "source-to-isocentre"),
        (["--view", "AP", "--pixel", "0.01"], "--pixel"),
    ],
)
def test_options_that_contradict(run, ct_file, tmp_path, arguments, words):
    out = tmp_path / "out"
    refused(run("drr", ct_file, *arguments, "--out", out), out, words)


@pytest.mark.parametrize(("name", "words"), [("two.nrrd", "several views"), ("one.txt", ".nrrd or .mha")])
def test_outputs_that_cannot_hold_it(run, ct_file, tmp_path, name, words):
    out = tmp_path / name
    views = ["--view", "AP", "--view", "LAT"] if name == "two.nrrd" else ["--view", "AP"]
    refused(run("drr", ct_file, *views, "--out", out), out, words)
