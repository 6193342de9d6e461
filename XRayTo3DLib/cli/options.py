"""Options that several commands share: numbers with a range, sizes, settings for one view or for all, matrices."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.projection import LARGEST_SIDE

#: Said at the end of every option that may be given for one view.
EACH = "give VALUE for all views, or VIEW=VALUE for one; may be repeated"

#: What a file of an X-ray may be, by its ending.
FORMATS = ("nrrd", "mha", "nii.gz", "nii", "dcm", "png")


def finite(text: str) -> float:
    """A number that is neither NaN nor infinite."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def positive(text: str) -> float:
    """A number above zero, as argparse calls it."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def marker_size(text: str) -> tuple[float, float]:
    """``DIAMETER`` or ``DIAMETER,HEIGHT`` in mm, as argparse calls it."""
    diameter, comma, height = text.partition(",")
    return positive(diameter), at_least_zero(height) if comma else 0.0


def at_least_zero(text: str) -> float:
    """A number that is not negative."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def count(text: str) -> int:
    """A whole number of at least one."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def beam_of(beam: str | None, parallel: bool, sdd: object) -> str | None:
    """What ``--beam`` and ``--parallel`` say together, ``None`` where they say nothing; :class:`InputError` where they cannot.

    ``sdd`` is the value of ``--sdd``, which a parallel beam does not have.
    """
    if parallel and beam not in (None, "parallel"):
        raise InputError(f"--parallel and --beam {beam} contradict each other: drop one of them.")
    beam = "parallel" if parallel else beam
    if beam == "parallel" and sdd:
        raise InputError("--sdd has no meaning for a parallel beam: drop it, or choose another beam.")
    return beam


def whole(text: str) -> int:
    """A whole number that is not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def detector_size(text: str) -> tuple[int, int]:
    """``512`` or ``ROWSxCOLUMNS`` to (rows, columns)."""
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(p.isdecimal() and 2 <= int(p) <= LARGEST_SIDE for p in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: write 512 or ROWSxCOLUMNS, 2 to {LARGEST_SIDE} pixels")
    return int(parts[0]), int(parts[-1])


def pixel_spacing(text: str) -> float | tuple[float, float]:
    """``0.5``, or ``1.0,0.5`` for mm between rows and between columns."""
    parts = text.split(",")
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pixel spacing: write 0.5, or ROWS,COLUMNS")
    return positive(text) if len(parts) == 1 else (positive(parts[0]), positive(parts[1]))


def per_view(values: Sequence[str] | None, names: Sequence[str], option: str, convert: Callable[[str], Any]) -> dict[str, Any]:
    """What ``--option VALUE`` and ``--option VIEW=VALUE`` say for each view's name; views without a value are left out.

    Raises :class:`InputError` for a view that is not among ``names`` and for a value that ``convert`` refuses.
    """
    known = {name.upper(): name for name in names}
    general: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for text in values or ():
        view, equals, value = text.rpartition("=")
        if equals and view.upper() not in known:
            raise InputError(f"{option} {text}: there is no view {view!r} (views: {', '.join(names)}); correct the name.")
        try:
            converted = convert(value)
        except argparse.ArgumentTypeError as error:
            raise InputError(f"{option} {text}: {error}; correct the value.") from None
        if equals:
            own[known[view.upper()]] = converted
        else:
            general = dict.fromkeys(names, converted)
    return general | own
