"""Models: where they are found, what their cards say, and whether they may be run.

A model is one TorchScript file that carries its card as the extra file ``model.json``. Cards are read without running anything
(the file is a zip archive); loading a model runs its code, so a file from elsewhere is loaded only after its SHA-256 has been
trusted once. Everything that knows TorchScript is in this module.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import resources_folder, user_folder, writing

#: Name of the model that reconstruction uses when none is named.
DEFAULT_MODEL = "biplanar"
_SCHEMA = Path(__file__).with_name("model_card.schema.json")
CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True)
class ModelFile:
    """A model on disk: its card (a dict that fits the schema), SHA-256, and whether it came with this software."""

    path: Path
    card: dict[str, Any]
    sha256: str
    bundled: bool

    @property
    def name(self) -> str:
        return str(self.card["name"])


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to run: ``file`` and the TorchScript ``module`` in float32 evaluation mode."""

    file: ModelFile
    module: Any

    def __call__(self, *inputs: Any) -> torch.Tensor:
        """The module's output, without gradients. A failure in the model's own code is an :class:`InputError`."""
        with torch.no_grad():
            try:
                return self.module(*inputs)
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[-1]
                raise InputError(
                    f"The model {self.file.name} ({self.file.path.name}) failed on these inputs ({reason}): its code does not "
                    f"fit its task {self.file.card['task']!r}; use another model."
                ) from error


def model_folders(extra: Sequence[str | Path] = ()) -> list[Path]:
    """Where models are searched: ``extra``, those in ``XRAYTO3D_MODELS``, the user's models folder, the bundled ones."""
    named = [Path(p) for p in os.environ.get("XRAYTO3D_MODELS", "").split(os.pathsep) if p]
    return [*(Path(p) for p in extra), *named, user_folder("models"), resources_folder() / "Models"]


def find_models(folders: Sequence[str | Path] = ()) -> list[ModelFile]:
    """Every readable model in the search path, bundled ones last; files that are no models are passed over."""
    found = []
    for folder in model_folders(folders):
        for path in sorted(folder.glob("*.pt")):
            try:
                found.append(describe_model(path))
            except InputError:
                continue
    return found


def describe_model(path: str | Path) -> ModelFile:
    """The card and checksum of a model file, without running it; :class:`InputError` when it is not a whole model."""
    source = Path(path)
    if not source.is_file():
        raise InputError(f"The model {source} does not exist: check the path, or see `xrayto3d models list`.")
    try:
        with zipfile.ZipFile(source) as archive:
            names = [n for n in archive.namelist() if n.endswith("extra/model.json")]
            text = archive.read(names[0]) if names else None
    except (zipfile.BadZipFile, EOFError, OSError):
        raise InputError(f"{source} is not a whole TorchScript file (truncated or damaged): fetch it again.") from None
    if text is None:
        raise InputError(f"{source} carries no card (extra file model.json): export it with one; see the README.")
    try:
        card = json.loads(text)
    except ValueError:
        raise InputError(f"The card in {source} is not valid JSON: export the model again.") from None
    check_card(card, str(source))
    digest = _digest(source, source.stat().st_mtime_ns, source.stat().st_size)
    return ModelFile(source, card, digest, source.resolve().parent == (resources_folder() / "Models").resolve())


@cache
def _digest(path: Path, modified: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_card(card: dict[str, Any], where: str) -> None:
    """Raise :class:`InputError` unless the card fits ``model_card.schema.json``."""
    import jsonschema

    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    problem = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(card))
    if problem is not None:
        place = "/".join(str(p) for p in problem.absolute_path) or "the card"
        raise InputError(f"The model card of {where} is not valid ({place}: {problem.message}): correct the card.")


def find_model(name_or_path: str | Path | None = None, folders: Sequence[str | Path] = ()) -> ModelFile:
    """A model by file path or by its card's name; the default model when nothing is named."""
    wanted = str(name_or_path or DEFAULT_MODEL)
    if wanted.endswith(".pt") or os.sep in wanted:
        return describe_model(wanted)
    models = find_models(folders)
    for model in models:
        if model.name == wanted:
            return model
    for folder in model_folders(folders):
        if (folder / f"{wanted}.pt").exists():
            return describe_model(folder / f"{wanted}.pt")  # it is there but broken: say how
    known = ", ".join(sorted({m.name for m in models})) or "none"
    raise InputError(f"There is no model named {wanted!r} (found: {known}): use one of these names or the path of a .pt file.")


def verify_model(model: ModelFile) -> None:
    """Raise :class:`InputError` when a bundled model's SHA-256 is not the one it was released with."""
    if not model.bundled:
        return
    listed = {}
    sums = model.path.with_name(CHECKSUMS)
    if sums.is_file():
        for line in sums.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            listed[name.strip()] = digest
    if listed.get(model.path.name) != model.sha256:
        raise InputError(
            f"The bundled model {model.path} is not the file it was released as (its SHA-256 differs from {CHECKSUMS}): "
            "restore it from the repository."
        )


def is_trusted(model: ModelFile) -> bool:
    """Whether this file may be run: bundled, or trusted before by its SHA-256."""
    return model.bundled or model.sha256 in _trusted()


def trust_model(model: ModelFile) -> None:
    """Remember that the user allows this very file to be run."""
    digests = sorted({*_trusted(), model.sha256})
    with writing(_trust_file()) as temporary:
        temporary.write_text(json.dumps(digests, indent=1), encoding="utf-8")


def _trust_file() -> Path:
    return user_folder("config") / "trusted_models.json"


def _trusted() -> list[str]:
    try:
        return list(json.loads(_trust_file().read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


def load_model(
    name_or_path: str | Path | None = None,
    task: str | None = None,
    ask: Callable[[ModelFile], bool] | None = None,
    folders: Sequence[str | Path] = (),
) -> LoadedModel:
    """Find, verify and load a model (float32, CPU).

    ``task``: refuse a model made for another one. ``ask`` is called with a file that was never trusted and says whether to run
    it (the answer yes is remembered); without it such a file is refused. Raises :class:`InputError` for a model that is
    missing, truncated, altered, untrusted or for another task.
    """
    model = find_model(name_or_path, folders)
    if task is not None and model.card["task"] != task:
        raise InputError(
            f"The model {model.name} is for the task {model.card['task']!r}, not {task!r}: choose a model for {task!r}."
        )
    verify_model(model)
    if not is_trusted(model):
        if ask is None or not ask(model):
            raise InputError(
                f"The model {model.path} is not from this software, and loading it runs its code: trust it once with "
                f"`xrayto3d models trust {model.path}` if you know where it comes from."
            )
        trust_model(model)
    return _load(model)


@cache
def _load_module(path: Path, sha256: str) -> Any:
    return torch.jit.load(str(path), map_location="cpu").float().eval()


def _load(model: ModelFile) -> LoadedModel:
    try:
        return LoadedModel(model, _load_module(model.path, model.sha256))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{model.path} could not be loaded as TorchScript: it is damaged or from a newer torch.") from error


def save_model(module: torch.nn.Module, card: dict[str, Any], path: str | Path) -> None:
    """Script a network and write it in half precision with its card inside. The card is checked first."""
    check_card(card, str(path))
    scripted = torch.jit.script(module.half().eval())
    with writing(path) as temporary:
        torch.jit.save(scripted, str(temporary), _extra_files={"model.json": json.dumps(card, indent=1)})


def run_volume_model(
    model: LoadedModel,
    images: np.ndarray,
    matrices: np.ndarray,
    beams: np.ndarray,
    affine: np.ndarray,
    size: tuple[int, int, int],
) -> np.ndarray:
    """Run a model of the task ``volume``: what it takes is described at the network; returns float32 (channels, z, y, x)."""
    tensors = [torch.as_tensor(np.asarray(a), dtype=torch.float32) for a in (images, matrices, beams)]
    output = model(*(t.unsqueeze(0) for t in tensors), torch.tensor(affine, dtype=torch.float32), list(size))
    return output[0].float().numpy()
