"""``xrayto3d evaluate`` and ``demo``: data that cannot be measured."""

from __future__ import annotations

import shutil

import pytest
from bad_input import bad_ct, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "{t}/none"], "does not exist"),
        (["--data", "{t}"], "There is no CT"),
        (["--data", "{c}", "--setting", "three_views"], "three_views"),
        (["--data", "{c}", "--protocol", "knee"], "standard, chest128"),
        (["--data", "{c}", "--method", "nearest"], "--training"),
        (["--data", "{c}", "--training", "{c}"], "also a test case"),
    ],
)
def test_evaluations_that_cannot_be(run, ct_file, model, tmp_path, arguments, words):
    out = tmp_path / "out"
    filled = [a.format(t=tmp_path, c=ct_file.parent) for a in arguments]
    refused(run("evaluate", "--model", model, *filled, "--out", out), out, words)


def test_evaluation_refuses_a_file_that_is_no_ct(run, ct_file, model, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    shutil.copy(ct_file, data / "a.nrrd")
    (data / "b.nrrd").write_text("no image")
    found = run("evaluate", "--model", model, "--data", data, "--setting", "one_view", "--out", out)
    refused(found, out, "b.nrrd")


def test_ct_of_the_demo_is_checked(run, ct_file, model, tmp_path):
    out = tmp_path / "out"
    refused(run("demo", "--ct", bad_ct("constant", tmp_path, ct_file), "--model", model, "--out", out), out, "constant")
