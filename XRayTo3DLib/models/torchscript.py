"""TorchScript files: read, loaded from their very bytes, and written so that the same network gives the same file.

The only module that knows TorchScript. A file is a zip archive: ``NAME/extra/model.json`` the card, ``NAME/data.pkl`` and
``NAME/data/`` the module and its weights, ``NAME/code/`` its classes as text.
"""

from __future__ import annotations

import copy
import io
import json
import pickletools
import re
import weakref
import zipfile
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models.card import LARGEST, check_card, parse_card

F = TypeVar("F", bound=Callable[..., Any])
_CARD = "extra/model.json"
#: Records that depend on where and when a file was made, and that loading does not need.
_LEFT_OUT = re.compile(r"\.debug_pkl$|^\.data/serialization_id$")
_MANGLED = re.compile(r"\.___torch_mangle_\d+")
#: The constants of a class, which torch writes in the order of a set.
_CONSTANTS = re.compile(r"(?:^  \w+ : Final\[.*\n)+", re.MULTILINE)
_NAME = re.compile(r"__torch__(?:\.\w+)+")
#: Modules that were made quick, for as long as they are held by their users.
_quickened: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
#: Tensors start at multiples of this in torch's own files.
_ALIGNMENT = 64


def kept(method: F) -> F:
    """Marks a method of a network, beside ``forward``, that its model file is to have too."""
    return torch.jit.export(method)  # type: ignore[no-any-return]


def card_in(data: bytes, where: str) -> dict[str, Any]:
    """The checked card of a model file's bytes, without running anything; :class:`InputError` when there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [n for n in archive.namelist() if n.endswith("/" + _CARD)]
            text = b""
            if len(names) == 1:
                with archive.open(names[0]) as file:
                    text = file.read(LARGEST + 1)  # whatever size the archive declares
    except Exception:  # zipfile raises nearly anything on damaged archives
        raise InputError(f"{where} is not a whole TorchScript file (truncated or damaged): fetch it again.") from None
    if not names:
        raise InputError(f"{where} carries no card (extra file model.json): export it with one; see the README.")
    if len(names) > 1:
        raise InputError(f"{where} carries {len(names)} cards (extra file model.json): export it with one.")
    return parse_card(text, where)


def load_module(data: bytes, where: str) -> Any:
    """The module in a model file's bytes, in float32 evaluation mode on the CPU. This runs the file's code."""
    try:
        return torch.jit.load(io.BytesIO(data), map_location="cpu").float().eval()
    except MemoryError:
        raise
    except Exception as error:
        raise InputError(f"{where} could not be loaded as TorchScript: it is damaged or from a newer torch.") from error


def quickened(module: Any) -> Any:
    """A loaded module made ready to be run many times: weights folded and fixed. The same object for the same module.

    What cannot be treated so (a stranger's model may do anything) is given back as it is.
    """
    found = _quickened.get(module)
    if found is None:
        try:
            found = torch.jit.freeze(module)
        except Exception:  # whatever TorchScript does not fold
            found = module
        _quickened[module] = found
    return found


def module_bytes(module: torch.nn.Module, card: dict[str, Any]) -> bytes:
    """A network scripted in half precision with its card inside; the network itself is left as it is.

    The same network and card give the same bytes, in any process.
    """
    check_card(card, card.get("name", "a model") if isinstance(card, dict) else "a model")
    half = copy.deepcopy(module).half().eval()
    for name, tensor in half.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"The weights {name} do not fit half precision (NaN, infinite or above 65504): correct the network.")
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(half), buffer)
    return with_card(buffer.getvalue(), card)


def with_card(data: bytes, card: dict[str, Any]) -> bytes:
    """A TorchScript file's bytes with this card in it instead of its own; code and weights stay what they are.

    Names, order and times in the archive are fixed, so that equal networks give equal files.
    """
    check_card(card, "this file")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    records = {name: content for name, content in _renamed(records).items() if not _LEFT_OUT.search(name)}
    records[_CARD] = json.dumps(card, indent=1).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(records):
            info = zipfile.ZipInfo(f"model/{name}", (1980, 1, 1, 0, 0, 0))
            start = target.tell() + 30 + len(info.filename) + 4
            padding = -start % _ALIGNMENT
            info.extra = b"FB" + padding.to_bytes(2, "little") + bytes(padding)
            archive.writestr(info, records[name])
    return target.getvalue()


def _renamed(records: dict[str, bytes]) -> dict[str, bytes]:
    """The records with every class and function in a numbered file of its own, numbered as the module comes to need them.

    torch numbers the classes of one process through all the networks it ever scripted (``___torch_mangle_17``).
    """
    definitions: dict[str, str] = {}
    for path in sorted(p for p in records if p.startswith("code/") and p.endswith(".py")):
        space = path[len("code/") : -len(".py")].replace("/", ".")
        for text in re.split(r"^(?=class |def )", records[path].decode(), flags=re.MULTILINE):
            if text:
                text = _CONSTANTS.sub(lambda found: "".join(sorted(found.group().splitlines(keepends=True))), text)
                definitions[f"{space}.{re.split(r'[ (:]', text, maxsplit=2)[1]}"] = text
    order: dict[str, str] = {}

    def number(name: str) -> None:
        """Give a definition its number, and after it those that its text names."""
        waiting = [name]
        while waiting:
            found = waiting.pop()
            if found in order or found not in definitions:
                continue
            space, _, own = _MANGLED.sub("", found).rpartition(".")
            order[found] = f"{space}.___torch_mangle_{len(order)}.{own}"
            waiting += reversed([_defined(n, definitions) for n in _NAME.findall(definitions[found])])

    pickles = {name: _globals(records[name]) for name in ("data.pkl", "constants.pkl") if name in records}
    for places in pickles.values():
        for _, _, name in places:
            number(name)
    result = {name: content for name, content in records.items() if not name.startswith("code/")}
    for name, places in pickles.items():
        parts, end = [], 0
        for start, stop, old in places:
            space, _, own = order.get(old, old).rpartition(".")
            parts += [records[name][end:start], f"c{space}\n{own}\n".encode()]
            end = stop
        result[name] = b"".join([*parts, records[name][end:]])
    for old, new in order.items():
        text = _NAME.sub(lambda found: _replaced(found.group(), order, definitions), definitions[old])
        result[f"code/{new.rpartition('.')[0].replace('.', '/')}.py"] = text.encode()
    return result


def _globals(data: bytes) -> list[tuple[int, int, str]]:
    """Start, end and dotted name of every class that a pickle names."""
    operations = [*pickletools.genops(data)]
    ends = [int(start or 0) for _, _, start in operations[1:]] + [len(data)]
    return [
        (int(start or 0), end, str(argument).replace(" ", "."))
        for (operation, argument, start), end in zip(operations, ends, strict=True)
        if operation.name == "GLOBAL"
    ]


def _defined(name: str, definitions: dict[str, str]) -> str:
    """The definition that a dotted name of the code belongs to: itself, or its class; "" for names from elsewhere."""
    while name and name not in definitions:
        name = name.rpartition(".")[0]
    return name


def _replaced(name: str, order: dict[str, str], definitions: dict[str, str]) -> str:
    own = _defined(name, definitions)
    return order.get(own, own) + name[len(own) :]
