"""The engine: it trains any task, ends at the same weights however often it was stopped, and is never half done."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_recipe import phantoms, tiny

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models.zoo import describe_model, load_model
from XRayTo3DLib.training.checkpoint import read_checkpoint
from XRayTo3DLib.training.export import export, metric_rows
from XRayTo3DLib.training.fit import fit, learning_rate
from XRayTo3DLib.training.lifted_views.task import LiftedViewsTask
from XRayTo3DLib.training.precision import has_bfloat16
from XRayTo3DLib.training.subjects import load_subjects
from XRayTo3DLib.training.task import Losses


@pytest.fixture(scope="module")
def subjects_folders(tmp_path_factory):
    """A folder of CTs, and one for what is prepared of them."""
    return phantoms(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def subjects(subjects_folders):
    return load_subjects(tiny().data, *subjects_folders)


class Line:
    """A task of another kind: a straight line through noisy points."""

    figure = "distance"

    def build(self):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return torch.nn.Linear(1, 1)

    def batch(self, step, device):
        x = torch.rand(16, 1, generator=torch.Generator().manual_seed(step))
        return x.to(device), (3 * x - 1).to(device)

    def loss(self, network, batch):
        error = (network(batch[0]) - batch[1]).square().mean()
        return Losses(error, error.detach())


class Lost(Line):
    """A task whose loss is no number from step 3 on."""

    def batch(self, step, device):
        x, y = super().batch(step, device)
        return x, y if step < 3 else y * torch.nan


class Duel(Line):
    """Adversaries: a critic that learns the points of a batch, and a line that is drawn towards it every second step."""

    critic_turns, critic_rate, betas = 2, 2.0, (0.5, 0.9)

    def build(self):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return torch.nn.ModuleDict(
                {"line": torch.nn.Linear(1, 1), "critic": torch.nn.Linear(1, 1), "norm": torch.nn.BatchNorm1d(1)}
            )

    def critic(self, network):
        return network["critic"]

    def critic_loss(self, network, batch):
        return (network["critic"](batch[0]) - batch[1]).square().mean()

    def loss(self, network, batch):
        network["norm"](batch[1])
        error = (network["line"](batch[0]) - network["critic"](batch[0])).square().mean()
        return Losses(error, error.detach())


def same(one: Path, other: Path) -> bool:
    a, b = (read_checkpoint(path / "checkpoint.pt") for path in (one, other))
    kinds = ("network", "average")
    return a["step"] == b["step"] and all(torch.equal(a[k][name], b[k][name]) for k in kinds for name in a[k])


def test_any_task_is_trained_and_the_log_says_how_well(tmp_path):
    recipe = tiny(schedule__steps=300, schedule__learning_rate=0.1, schedule__checkpoint_every=100)
    average = fit(recipe, Line(), tmp_path)
    torch.testing.assert_close(torch.cat([average.weight[0], average.bias]).detach(), torch.tensor([3.0, -1.0]), atol=0.05, rtol=0)
    rows = np.loadtxt(tmp_path / "log.csv", delimiter=",")
    assert [*rows[:, 0]] == [100, 200, 300] and rows[2, 1] < 0.01 < rows[0, 1]


def test_a_critic_and_the_rest_learn_in_turn_each_by_its_own_optimiser(tmp_path):
    task = Duel()
    before = {name: value.clone() for name, value in task.build().state_dict().items()}
    fit(tiny(schedule__steps=1), task, tmp_path / "one")
    first = read_checkpoint(tmp_path / "one" / "checkpoint.pt")["network"]
    changed = {name: not torch.equal(before[name], first[name]) for name in before}
    assert changed["critic.weight"] and not changed["line.weight"]  # its turn is every second step
    recipe = tiny(schedule__steps=400, schedule__learning_rate=0.1, schedule__checkpoint_every=100)
    fit(recipe, task, tmp_path / "whole")
    fit(recipe, task, tmp_path / "parts", stop_after=0.0)
    average = fit(recipe, task, tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts")
    for part in ("critic", "line"):
        found = torch.cat([average[part].weight[0], average[part].bias]).detach()
        torch.testing.assert_close(found, torch.tensor([3.0, -1.0]), atol=0.05, rtol=0)
    state = read_checkpoint(tmp_path / "whole" / "checkpoint.pt")
    # The critic's steps and the rest's are counted apart; what no gradient reaches is averaged too.
    assert [float(state[part]["state"][0]["step"]) for part in ("optimiser", "critic")] == [200, 400]
    assert float(average["norm"].running_mean) == pytest.approx(0.5, abs=0.3) and int(average["norm"].num_batches_tracked) == 200
    with pytest.raises(InputError, match="of another training"):
        path = tmp_path / "whole" / "checkpoint.pt"
        torch.save({key: value for key, value in state.items() if key != "critic"}, path)
        fit(recipe, task, tmp_path / "whole")


def test_this_systems_task_is_learned(subjects, tmp_path):
    calm = {"views__chances": [0.0, 1.0, 0.0], "augmentation__exact": [1.0, 1.0]}
    recipe = tiny(schedule__steps=30, schedule__checkpoint_every=10, schedule__learning_rate=3e-3, **calm)
    fit(recipe, LiftedViewsTask(recipe, subjects), tmp_path)
    rows = np.loadtxt(tmp_path / "log.csv", delimiter=",")
    assert rows[-1, 1] < 0.7 * rows[0, 1]


#: Trains in a process that is killed at its first checkpoint, says which step that was, goes on, and trains again unbroken.
KILLED = """
import os, signal, sys, time
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from tiny_recipe import tiny
from XRayTo3DLib.training.checkpoint import read_checkpoint
from XRayTo3DLib.training.fit import fit
from XRayTo3DLib.training.lifted_views.task import LiftedViewsTask
from XRayTo3DLib.training.subjects import load_subjects
folder, data, cache = (Path(name) for name in sys.argv[2:])
torch.set_num_threads(1)
recipe = tiny(schedule__steps=8)
task = LiftedViewsTask(recipe, load_subjects(recipe.data, data, cache))
child = os.fork()
if not child:
    fit(recipe, task, folder / "killed")
    os._exit(1)
checkpoint, deadline = folder / "killed" / "checkpoint.pt", time.monotonic() + 120
while not checkpoint.exists() and time.monotonic() < deadline:
    time.sleep(0.002)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print(read_checkpoint(checkpoint)["step"])
for name in ("killed", "unbroken"):
    fit(recipe, task, folder / name)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
def test_a_run_that_was_killed_ends_at_the_same_weights(subjects, subjects_folders, tmp_path):
    """kill -9 wherever it is, between two checkpoints or in the middle of one; and stopped by time."""
    recipe = tiny(schedule__steps=4)
    task = LiftedViewsTask(recipe, subjects)
    torch.manual_seed(1)
    fit(recipe, task, tmp_path / "whole")
    torch.manual_seed(2)  # the weights are the recipe's, whatever was drawn before
    fit(recipe, task, tmp_path / "parts", stop_after=0.0)
    assert read_checkpoint(tmp_path / "parts" / "checkpoint.pt")["step"] == 1
    fit(recipe, task, tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts")
    # In processes of their own, as a user's runs are: what other tests did to this one is not theirs.
    arguments = [str(path) for path in (Path(__file__).resolve().parents[1], tmp_path, *subjects_folders)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 8
    assert same(tmp_path / "unbroken", tmp_path / "killed")


def test_weights_to_start_from(subjects, tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    recipe = tiny(schedule__steps=2)
    average = fit(recipe, LiftedViewsTask(recipe, subjects), tmp_path / "first")
    model = export(recipe, tmp_path / "first", tmp_path / "first.pt")
    assert load_model(model, ask=lambda m: True)
    for init, error in ((tmp_path / "first" / "checkpoint.pt", 0.0), (model, 5e-4)):
        later = tiny(schedule__steps=1, schedule__learning_rate=1e-12, init=str(init))
        started = fit(later, LiftedViewsTask(later, subjects), tmp_path / str(error))
        for a, b in zip(average.parameters(), started.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=error + 1e-6)
    for init, words in (("none.pt", "none.pt"), ("biplanar", "of another network"), (str(tmp_path), ".")):
        later = tiny(init=init)
        with pytest.raises(InputError, match=words):
            fit(later, LiftedViewsTask(later, subjects), tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_the_learning_rate_warms_up_and_falls():
    schedule = tiny(schedule__learning_rate=1.0, schedule__steps=1000, schedule__warm_up=200).schedule
    rates = [learning_rate(s, schedule) for s in (0, 199, 500, 1000, 2000)]
    assert rates == pytest.approx([0.005, 0.98 * 0.5 * (1 + np.cos(np.pi * 0.199)) + 0.02, 0.51, 0.02, 0.02])
    assert learning_rate(0, tiny(schedule__warm_up=0, schedule__learning_rate=1.0).schedule) == 1.0


def test_a_loss_that_stays_no_number_ends_with_a_sentence_and_the_last_checkpoint(tmp_path):
    with pytest.raises(InputError, match="no finite gradient in 50 steps before step 53"):
        fit(tiny(schedule__steps=100), Lost(), tmp_path)
    weights = read_checkpoint(tmp_path / "checkpoint.pt")["average"].values()
    assert all(torch.isfinite(w).all() for w in weights)


def test_damaged_and_foreign_checkpoints_are_one_sentence(subjects, tmp_path):
    recipe = tiny(schedule__steps=2)
    task = LiftedViewsTask(recipe, subjects)
    fit(recipe, task, tmp_path)
    path = tmp_path / "checkpoint.pt"
    good = path.read_bytes()
    state = read_checkpoint(path)

    def saved(value: object) -> bytes:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        return buffer.getvalue()

    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda i: i.file_size)
        middle = largest.header_offset + 300 + largest.file_size // 2
    flipped = good[:middle] + bytes([good[middle] ^ 16]) + good[middle + 1 :]
    broken = {name: weight * torch.nan for name, weight in state["network"].items()}
    for damaged in (
        b"",
        b"nonsense",
        good[: len(good) // 2],
        flipped,
        saved([1, 2]),
        saved({"average": state["average"]}),
        saved(state | {"step": "two"}),
        saved(state | {"step": -1}),
        saved(state | {"network": {"a": torch.zeros(1)}, "average": {"a": torch.zeros(1)}}),
        saved(state | {"network": broken, "average": broken}),
        saved(state | {"network": dict.fromkeys(state["network"], 1), "average": dict.fromkeys(state["network"], 1)}),
    ):
        path.write_bytes(damaged)
        for work in (lambda: fit(recipe, task, tmp_path), lambda: export(recipe, tmp_path, tmp_path / "x.pt")):
            with pytest.raises(InputError, match=r"[Cc]heckpoint") as error:
                work()
            assert "\n" not in str(error.value)
        assert path.read_bytes() == damaged and not (tmp_path / "x.pt").exists()
    path.write_bytes(saved(state | {"optimiser": {"state": {}, "param_groups": []}}))
    with pytest.raises(InputError, match="another training"):
        fit(recipe, task, tmp_path)
    with pytest.raises(InputError, match="no checkpoint"):
        export(recipe, tmp_path / "none", tmp_path / "x.pt")


def test_a_full_disk_is_one_sentence_and_the_last_checkpoint_stays(tmp_path):
    """A limit on the size of files stands for the disk: the checkpoint of step 2 does not fit any more."""
    resource = pytest.importorskip("resource", reason="file size limits are POSIX's")
    fit(tiny(schedule__steps=2), Line(), tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(InputError, match=r"checkpoint\.pt could not be written \(File too large\)"):
            fit(tiny(schedule__steps=4), Line(), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read_checkpoint(tmp_path / "checkpoint.pt")["step"] == 2
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint.pt", "log.csv"}


def test_the_exported_model_is_the_averaged_network(subjects, tmp_path, monkeypatch):
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    recipe = tiny()
    task = LiftedViewsTask(recipe, subjects)
    average = fit(recipe, task, tmp_path / "run").eval()
    path = export(recipe, tmp_path / "run", tmp_path / "tiny.pt")
    card = describe_model(path).card
    assert card["training"]["steps"] == 6 and card["interface"] == "lifted-views/1"
    assert card["training"]["parameters"] == sum(p.numel() for p in average.parameters())
    batch = task.batch(0, torch.device("cpu"))
    inputs = (batch.images, batch.matrices, batch.beams, batch.affine, [16, 16, 16])
    found = load_model(path, ask=lambda m: True)(*inputs)
    with torch.no_grad():
        np.testing.assert_allclose(found, average(*inputs), atol=5e-3)  # half precision
    assert export(recipe, tmp_path / "run", tmp_path / "again.pt").read_bytes() == path.read_bytes()


def test_bfloat16_is_used_only_where_the_processor_has_it(monkeypatch):
    flags = {"avx2 fma": False, "avx2 avx512f avx512_bf16": True, "avx512_bf16_not": False, "": False}
    for text, wanted in flags.items():
        monkeypatch.setattr(Path, "read_text", lambda self, text=text, **k: f"model name : avx512_bf16\nflags\t\t: {text}\n")
        assert has_bfloat16.__wrapped__("cpu") == wanted


def test_a_card_takes_the_figures_of_an_evaluation_and_nothing_else():
    found = {"geometry": "known", "cases": 2, "psnr": 25.12345, "bone_dice": None, "reprojection": 1.23456789e-3, "seconds": 0.5}
    (row,) = metric_rows({"summary": {"two_views": {"mine": {**found, "counts": {"bone_dice": 0}}}}}, "Heads", "validation")
    assert row["values"] == {"psnr": 25.123, "reprojection": 0.001235}
    assert (row["data"], row["split"], row["setting"], row["method"], row["cases"]) == (
        "Heads",
        "validation",
        "two_views",
        "mine",
        2,
    )
