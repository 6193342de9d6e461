"""Models: where they are found, what their cards say, and loading those that may be run.

A model is one TorchScript file that carries its card as the extra file ``model.json``. Cards are read without running anything;
loading a model runs its code, so a file from elsewhere is loaded only after its SHA-256 has been trusted once, and what is loaded
are the very bytes that were hashed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import user_folder, writing
from XRayTo3DLib.models.torchscript import card_in, load_module, module_bytes
from XRayTo3DLib.models.trust import bundled_folder, check_released, is_trusted_digest, trust_digest

#: Name of the model that reconstruction uses when none is named.
DEFAULT_MODEL = "biplanar"
#: Modules that were loaded, by the SHA-256 of their bytes.
_loaded: dict[str, Any] = {}


@dataclass(frozen=True)
class ModelFile:
    """A model on disk: its card (a dict that fits the schema), SHA-256, and whether it lies where this software's models are."""

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

    def __call__(self, *inputs: Any) -> Any:
        """The module's output, without gradients. A failure in the model's own code is an :class:`InputError`."""
        with torch.no_grad():
            try:
                return self.module(*inputs)
            except Exception as error:
                if _is_memory(error):
                    raise InputError(
                        f"There is not enough memory to run the model {self.file.name} on this grid: choose fewer or larger "
                        "voxels, or close other programs."
                    ) from error
                reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
                raise InputError(
                    f"The model {self.file.name} ({self.file.path.name}) failed on these inputs ({reason}): its code does not "
                    f"fit its interface {self.file.card['interface']!r}; use another model."
                ) from error


def _is_memory(error: BaseException) -> bool:
    """Whether an error says that there was no more memory; torch's allocator on the CPU says so only in words."""
    words = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "bad alloc")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error).lower() for word in words)


def model_folders(extra: Sequence[str | Path] = ()) -> list[Path]:
    """Where models are searched: ``extra``, those in ``XRAYTO3D_MODELS``, the user's models folder, the bundled ones."""
    named = [Path(p) for p in os.environ.get("XRAYTO3D_MODELS", "").split(os.pathsep) if p]
    return [*(Path(p) for p in extra), *named, user_folder("models"), bundled_folder()]


def find_models(folders: Sequence[str | Path] = ()) -> list[ModelFile]:
    """Every readable model in the search path, bundled ones last; files that are no models are passed over."""
    found: dict[Path, ModelFile] = {}
    for folder in model_folders(folders):
        try:
            paths = sorted(folder.glob("*.pt"))
        except OSError:
            continue
        for path in paths:
            try:
                model = describe_model(path)
            except InputError:
                continue
            found.setdefault(path.absolute(), model)
    return list(found.values())


def describe_model(path: str | Path) -> ModelFile:
    """The card and checksum of a model file, without running it; :class:`InputError` when it is not a whole model."""
    return _read(Path(path))[0]


def _read(source: Path) -> tuple[ModelFile, bytes]:
    """A model file and its bytes, read once: card and checksum are those of these bytes."""
    try:
        if source.exists() and not source.is_file():
            raise InputError(f"The model {source} is not a file: name a .pt file, or see `xrayto3d models list`.")
        data = source.read_bytes()
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"The model {source} does not exist: check the path, or see `xrayto3d models list`.") from None
    except MemoryError:
        raise InputError(f"There is not enough memory to read the model {source}: close other programs.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"The model {source} cannot be read ({reason}): check the path and its rights.") from None
    card = card_in(data, str(source))
    bundled = os.path.realpath(source.absolute().parent) == os.path.realpath(bundled_folder())
    return ModelFile(source, card, hashlib.sha256(data).hexdigest(), bundled), data


def find_model(name_or_path: str | Path | None = None, folders: Sequence[str | Path] = ()) -> ModelFile:
    """A model by file path or by its card's name; the default model when nothing is named.

    The names of bundled models are theirs: a model from elsewhere with such a name is reached by its path alone.
    """
    wanted = str(name_or_path or DEFAULT_MODEL)
    if wanted.endswith(".pt") or any(separator in wanted for separator in ("/", os.sep)):
        return describe_model(wanted)
    try:
        if (bundled_folder() / f"{wanted}.pt").is_file():
            return describe_model(bundled_folder() / f"{wanted}.pt")
    except OSError:  # a name that no file can have
        pass
    models = find_models(folders)
    for model in models:
        if model.name == wanted:
            return model
    for path in (path for folder in model_folders(folders) if folder.is_dir() for path in folder.iterdir()):
        if path.name == f"{wanted}.pt":
            return describe_model(path)  # it is there but broken: say how
    known = ", ".join(sorted({m.name for m in models})) or "none"
    raise InputError(f"There is no model named {wanted!r} (found: {known}): use one of these names or the path of a .pt file.")


def verify_model(model: ModelFile) -> None:
    """Raise :class:`InputError` when a bundled model's SHA-256 is not the one it was released with."""
    if model.bundled:
        check_released(model.path, model.sha256)


def is_trusted(model: ModelFile) -> bool:
    """Whether this very file may be run: released with this software, or trusted before, by its SHA-256."""
    return is_trusted_digest(model.sha256)


def trust_model(model: ModelFile) -> None:
    """Remember that the user allows this very file to be run."""
    trust_digest(model.sha256)


def load_model(
    name_or_path: str | Path | None = None,
    task: str | None = None,
    ask: Callable[[ModelFile], bool] | None = None,
    folders: Sequence[str | Path] = (),
) -> LoadedModel:
    """Find, verify and load a model (float32, CPU).

    ``task``: refuse a model made for another one. ``ask`` is called with a file that was never trusted and says whether to run
    it (the answer yes is remembered); without it such a file is refused. Raises :class:`InputError` for a model that is
    missing, truncated, altered, untrusted, replaced while it was asked about, or for another task.
    """
    model, data = _read(find_model(name_or_path, folders).path)
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
    if model.sha256 not in _loaded:
        _loaded[model.sha256] = load_module(data, str(model.path))
    return LoadedModel(model, _loaded[model.sha256])


def save_model(module: torch.nn.Module, card: dict[str, Any], path: str | Path) -> None:
    """Write a network as a model file: scripted, in half precision, with its card inside; the network itself is left as it is.

    The same network and card give the same file. The card is checked first.
    """
    data = module_bytes(module, card)
    with writing(path) as temporary:
        temporary.write_bytes(data)
