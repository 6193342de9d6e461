"""``xrayto3d models``."""

from __future__ import annotations

import json
import shutil

from XRayTo3DLib.models.zoo import describe_model, is_trusted


def test_list_names_state_and_views(run, model, stranger):
    found = run("models", "list", "--folder", model.parent, "--folder", stranger.parent)
    assert found.code == 0
    lines = {line.split()[0]: line for line in found.out.splitlines()}
    assert " trusted " in lines["barrel"] and "1 to 3 views" in lines["barrel"] and str(model) in lines["barrel"]
    assert "not trusted yet" in lines["stranger"]


def test_show_says_what_the_card_says(run, model):
    found = run("models", "show", model)
    assert found.code == 0
    assert describe_model(model).sha256 in found.out
    for words in ("barrel 0.0.1", "An elliptic cylinder", "2 to 32 mm", "It knows nothing.", "psnr 1.5"):
        assert words in found.out
    card = json.loads(run("models", "show", model, "--json").out)
    assert card == describe_model(model).card


def test_verify_loads_only_what_is_trusted(run, model, stranger):
    found = run("models", "verify", model, stranger)
    assert found.code == 0
    trusted, untrusted = found.out.splitlines()
    assert "loads" in trusted and "not loaded" in untrusted


def test_verify_finds_a_damaged_file(run, model, tmp_path):
    damaged = tmp_path / "barrel.pt"
    damaged.write_bytes(model.read_bytes()[:-200])
    found = run("models", "verify", damaged)
    assert found.code == 2 and "truncated" in found.sentence


def test_trust_holds_for_this_very_file(run, stranger, tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    own = tmp_path / "own.pt"
    shutil.copy(stranger, own)
    assert not is_trusted(describe_model(own))
    assert run("models", "trust", own).code == 0
    assert is_trusted(describe_model(own))
    assert "trusted already" in run("models", "trust", own).out


def test_nothing_to_verify(run, tmp_path, monkeypatch):
    from XRayTo3DLib.models import trust

    monkeypatch.setattr(trust, "resources_folder", lambda: tmp_path)
    assert run("models", "verify").code == 2
    assert "There is no model" in run("models", "list").out
