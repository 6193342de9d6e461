"""Model files: found by name, described without being run, refused when they are not what they should be."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from barrel import CARD, Barrel

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models import trust
from XRayTo3DLib.models.card import check_card
from XRayTo3DLib.models.trust import bundled_folder, trust_folder
from XRayTo3DLib.models.zoo import (
    DEFAULT_MODEL,
    describe_model,
    find_model,
    find_models,
    is_trusted,
    load_model,
    save_model,
    trust_model,
    verify_model,
)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XRAYTO3D_MODELS", raising=False)
    path = tmp_path / "models" / "stranger.pt"
    path.parent.mkdir()
    save_model(Barrel(), {**CARD, "name": "stranger"}, path)
    return path


def bundled_models() -> list[Path]:
    return sorted(bundled_folder().glob("*.pt"))


def test_there_is_a_bundled_default_model():
    assert find_model().bundled
    assert find_model().name == DEFAULT_MODEL


@pytest.mark.parametrize("path", bundled_models(), ids=lambda p: p.name)
def test_bundled_models_are_whole_and_their_cards_say_what_matters(path):
    model = describe_model(path)
    verify_model(model)
    assert model.name == path.stem
    assert model.card["metrics"], "a bundled model states its figures"
    assert {row["method"] for row in model.card["metrics"]} >= {"ours", "mean"}
    assert all(d["attribution"] and d["licence"] for d in model.card["training"]["data"])
    assert path.stat().st_size < 30e6
    module = load_model(path).module
    assert all(p.dtype == torch.float32 for p in module.parameters())


def test_an_altered_bundled_model_is_refused(tmp_path, monkeypatch):
    source = bundled_models()[0]
    folder = tmp_path / "Resources" / "Models"
    shutil.copytree(source.parent, folder)
    monkeypatch.setattr(trust, "resources_folder", lambda: tmp_path / "Resources")
    with zipfile.ZipFile(folder / source.name, "a") as archive:
        archive.writestr("note", "altered")
    with pytest.raises(InputError, match="not the file it was released as"):
        load_model(folder / source.name)


def test_a_folder_of_the_users_is_searched(stranger, monkeypatch):
    assert "stranger" in [m.name for m in find_models([stranger.parent])]
    with pytest.raises(InputError, match="no model named 'stranger'"):
        find_model("stranger")
    monkeypatch.setenv("XRAYTO3D_MODELS", str(stranger.parent))
    assert find_model("stranger").path == stranger


def test_a_strangers_model_is_run_only_after_it_was_trusted_once(stranger):
    asked = []
    with pytest.raises(InputError, match="trust"):
        load_model(stranger)
    with pytest.raises(InputError, match="trust"):
        load_model(stranger, ask=lambda model: asked.append(model.sha256))
    assert load_model(stranger, ask=lambda model: True).file.name == "stranger"
    assert is_trusted(describe_model(stranger))
    assert load_model(stranger).file.sha256 == asked[0]
    # Trust is for this very file.
    save_model(Barrel(), {**CARD, "name": "stranger", "version": "0.0.2"}, stranger)
    assert not is_trusted(describe_model(stranger))


def test_reading_a_card_runs_nothing(stranger, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: pytest.fail("the model was loaded"))
    assert describe_model(stranger).card["task"] == "volume"


def test_missing_truncated_cardless_and_foreign_models_are_errors(stranger, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_model(tmp_path / "nowhere.pt")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(stranger.read_bytes()[:2000])
    with pytest.raises(InputError, match="not a whole"):
        load_model(cut)
    bare = tmp_path / "bare.pt"
    torch.jit.save(torch.jit.script(Barrel()), str(bare))
    with pytest.raises(InputError, match="no card"):
        load_model(bare)
    with pytest.raises(InputError, match="for the task 'volume', not 'landmarks'"):
        load_model(stranger, "landmarks", ask=lambda m: True)


def test_a_card_that_matches_but_code_that_does_not_load_is_an_error(stranger, tmp_path):
    damaged = tmp_path / "damaged.pt"
    with zipfile.ZipFile(stranger) as source, zipfile.ZipFile(damaged, "w") as target:
        for item in source.infolist():
            target.writestr(item, b"" if "/code/" in item.filename else source.read(item))
    with pytest.raises(InputError, match="could not be loaded"):
        load_model(damaged, ask=lambda m: True)


def test_code_that_fails_is_one_sentence(stranger):
    model = load_model(stranger, ask=lambda m: True)
    with pytest.raises(InputError, match="failed on these inputs"):
        model(torch.zeros(1))


@pytest.mark.parametrize("missing", ["task", "training", "limits", "intended_use"])
def test_cards_are_checked_against_the_schema(missing, tmp_path):
    card = {key: value for key, value in CARD.items() if key != missing}
    with pytest.raises(InputError, match=missing):
        check_card(card, "a test")
    with pytest.raises(InputError, match="task"):
        check_card({**CARD, "task": "everything"}, "a test")
    with pytest.raises(InputError):
        save_model(Barrel(), card, tmp_path / "bad.pt")
    assert not (tmp_path / "bad.pt").exists()


def test_a_damaged_entry_of_the_trust_spoils_no_other(stranger):
    model = describe_model(stranger)
    trust_model(model)
    (trust_folder() / "null").mkdir()
    (trust_folder() / ("0" * 64)).write_bytes(b"\xff not json")
    assert is_trusted(model)
