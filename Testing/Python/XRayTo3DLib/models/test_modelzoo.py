"""Model files: found by name, described without being run, refused when they are not what they should be."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from barrel import CARD, Barrel

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models import trust
from XRayTo3DLib.models.card import check_card, printable
from XRayTo3DLib.models.torchscript import load_module, with_card
from XRayTo3DLib.models.trust import CHECKSUMS, bundled_folder, is_trusted_digest, trust_folder
from XRayTo3DLib.models.zoo import (
    DEFAULT_MODEL,
    LoadedModel,
    ModelFile,
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
    assert {row["method"] for row in model.card["metrics"]} >= {model.name, "mean"}
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


def zipped(path: Path, card: bytes) -> Path:
    """A file that looks like a model, with this card, and holds no code."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/extra/model.json", card)
    return path


def changed(*path: str, value: object) -> bytes:
    """The barrel's card with one value changed."""
    card = json.loads(json.dumps(CARD))
    inner = card
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return json.dumps(card).encode()


def test_odd_cards_are_one_sentence_and_stop_no_other_model(stranger, monkeypatch):
    folder = stranger.parent
    bomb = folder / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("model/extra/model.json", "w") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    table = {
        "deep": b"[" * 100_000,
        "deep and closed": b'{"a":' + b"[" * 500 + b"]" * 500 + b"}",
        "not text": b"\xff\xfe\x00",
        "a list": b"[]",
        "null": b"null",
        "a number of many digits": b'{"schema": ' + b"9" * 100_000 + b"}",
        "infinite": changed("metrics", value=[]).replace(b'"seed": 1', b'"seed": 1e999'),
        "NaN": changed("inputs", "range", value=[0, float("nan")]),
        "multiple of 0": changed("outputs", "grid", "multiple_of", value=0),
        "no spacing": changed("outputs", "grid", "spacing_mm", value=[0, 4]),
        "spacing the wrong way round": changed("outputs", "grid", "spacing_mm", value=[8, 4]),
        "views the wrong way round": changed("inputs", "views", value={"minimum": 3, "maximum": 1}),
        "size of two": changed("outputs", "grid", "size", value=[64, 64]),
        "a name of 300 letters": changed("name", value="x" * 300),
        "an escape": changed("title", value="\x1b]0;owned\x07\x1b[2J"),
        "an escape for a key": changed("metrics", value=[]).replace(b'"seed"', b'"\\u001b[2J": 1, "seed"'),
        "a turned direction": changed("limits", value=["\u202edezirohtua"]),
        "half a character": changed("limits", value=["\ud800"]),
        "the older schema": changed("schema", value=1),
        "an interface that is none": changed("interface", value="lifted views"),
        "no interface": json.dumps({k: v for k, v in CARD.items() if k != "interface"}).encode(),
    }
    files = [bomb, *(zipped(folder / f"{name}.pt", card) for name, card in table.items())]
    (folder / "folder.pt").mkdir()
    (folder / "empty.pt").write_bytes(b"")
    (folder / "gone.pt").symlink_to(folder / "nowhere.pt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.pt")  # reading it would wait for ever
        files.append(folder / "pipe.pt")
    tracemalloc.start()
    for path in [*files, folder / "folder.pt", folder / "empty.pt", folder / "gone.pt"]:
        with pytest.raises(InputError) as said:
            describe_model(path)
        assert printable(str(said.value)) and len(str(said.value)) < 700, path
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()
    monkeypatch.setenv("XRAYTO3D_MODELS", str(folder))
    assert [m.name for m in find_models()] == ["stranger", *sorted(path.stem for path in bundled_folder().glob("*.pt"))]
    for name in ("x" * 300, "nul\0", "..", "\x1b[2J"):
        with pytest.raises(InputError):
            find_model(name)


def test_the_names_of_bundled_models_are_theirs(stranger, monkeypatch):
    monkeypatch.setenv("XRAYTO3D_MODELS", str(stranger.parent))
    save_model(Barrel(), {**CARD, "name": DEFAULT_MODEL}, stranger.parent / f"{DEFAULT_MODEL}.pt")
    save_model(Barrel(), {**CARD, "name": DEFAULT_MODEL}, stranger.parent / "another.pt")
    for name in (None, DEFAULT_MODEL):
        assert find_model(name, [stranger.parent]).path.parent == bundled_folder()
    assert find_model(stranger.parent / "another.pt").name == DEFAULT_MODEL  # by its path
    assert sum(m.bundled for m in find_models([bundled_folder()])) == len(bundled_models())


def test_what_runs_is_what_was_hashed(stranger, tmp_path, monkeypatch):
    """The file is replaced while the question waits: by one of the same size and time, and through a link."""
    other = tmp_path / "other.pt"
    save_model(Barrel(), {**CARD, "name": "imposter"}, other)
    honest, stamp = stranger.read_bytes(), stranger.stat().st_mtime_ns
    link = tmp_path / "link.pt"
    link.symlink_to(stranger)
    (tmp_path / CHECKSUMS).write_text(f"{describe_model(stranger).sha256}  link.pt\n")
    assert not is_trusted(describe_model(link)) and not describe_model(link).bundled

    def replaced(model: ModelFile) -> bool:
        stranger.write_bytes(other.read_bytes().ljust(len(honest), b"\0"))
        os.utime(stranger, ns=(stamp, stamp))
        return True

    loaded = load_model(link, ask=replaced)
    assert loaded.file.name == "stranger" and loaded.file.sha256 == hashlib.sha256(honest).hexdigest()
    assert float(loaded.module.value) == pytest.approx(0.7, abs=1e-3)
    assert not is_trusted(describe_model(other))
    # A link in the folder of the bundled models is judged by what it leads to.
    folder = tmp_path / "Resources" / "Models"
    shutil.copytree(bundled_folder(), folder)
    monkeypatch.setattr(trust, "resources_folder", lambda: tmp_path / "Resources")
    (folder / f"{DEFAULT_MODEL}.pt").unlink()
    (folder / f"{DEFAULT_MODEL}.pt").symlink_to(other)
    with pytest.raises(InputError, match="not the file it was released as"):
        load_model()


def test_programs_that_trust_at_once_lose_nothing(stranger):
    digests = [f"{i:064x}" for i in range(12)]
    code = "import sys; from XRayTo3DLib.models.trust import trust_digest; sys.stdin.read(1); trust_digest(sys.argv[1])"
    programs = [subprocess.Popen([sys.executable, "-c", code, digest], stdin=subprocess.PIPE) for digest in digests]
    for program in programs:
        program.communicate(b"x", timeout=120)
    assert all(map(is_trusted_digest, digests))


class Sharing(torch.nn.Module):
    """Layers of equal and of different types, and functions of torch's own: what torch numbers by all it scripted before."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 2, 3), torch.nn.SiLU(), torch.nn.Conv2d(2, 2, 3), torch.nn.GroupNorm(1, 2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(torch.nn.functional.silu(self.layers(x)), scale_factor=2.0, mode="nearest")


def test_the_same_network_gives_the_same_file_in_any_process(tmp_path):
    network = Sharing().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    save_model(network, CARD, tmp_path / "one.pt")
    # The caller's network is what it was: its precision, its numbers, its mode.
    assert network.training and all(torch.equal(before[n], t) and t.dtype == torch.float32 for n, t in network.state_dict().items())
    save_model(Barrel(), CARD, tmp_path / "between.pt")
    save_model(torch.nn.Sequential(torch.nn.Conv2d(2, 2, 1), Sharing()), CARD, tmp_path / "between.pt")
    save_model(Sharing(), CARD, tmp_path / "two.pt")
    one = (tmp_path / "one.pt").read_bytes()
    assert (tmp_path / "two.pt").read_bytes() == one
    code = (
        "import sys, torch; from test_modelzoo import Sharing, CARD; from XRayTo3DLib.models.zoo import save_model\n"
        "save_model(torch.nn.Conv2d(1, 2, 3), CARD, sys.argv[1]); save_model(Sharing(), CARD, sys.argv[1])"
    )
    places = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "three.pt")],
        env={**os.environ, "PYTHONPATH": places, "PYTHONHASHSEED": "5"},
        check=True,
    )
    assert (tmp_path / "three.pt").read_bytes() == one
    # It still runs, and another card changes neither code nor weights.
    renamed = load_module(with_card(one, {**CARD, "name": "renamed"}), "a test")
    image = torch.rand(1, 1, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(renamed(image), network.eval()(image), atol=5e-3, rtol=0)
    with pytest.raises(InputError, match="do not fit half precision"):
        broken = Barrel()
        broken.value.data.fill_(1e6)
        save_model(broken, CARD, tmp_path / "broken.pt")


def test_no_memory_is_not_blamed_on_the_models_code(stranger):
    file = describe_model(stranger)

    def failing(error: BaseException) -> LoadedModel:
        def module(*inputs: object) -> None:
            raise error

        return LoadedModel(file, module)

    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ):
        with pytest.raises(InputError, match="not enough memory"):
            failing(error)()
    for error in (RuntimeError("sizes differ"), TypeError("forward() takes 2"), IndexError()):
        with pytest.raises(InputError, match="failed on these inputs"):
            failing(error)()
