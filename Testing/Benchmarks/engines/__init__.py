"""The engines of the benchmark, a file a package; each is optional.

An engine is a class that is made with the attenuation (float32 [z, y, x], 1/mm) and its grid, which is never timed, and then
called for every frame, which is timed:

- ``project(projections)``: one picture (rows, columns) a projection;
- ``preview(projections)``: the same at preview quality;
- ``parallel_sum(projection, axis)``: one picture of a parallel beam along the array axis ``axis``;
- ``pose_gradient(projection, weights)``: the gradient of ``sum(weights * picture)`` with respect to the six numbers of
  :func:`pose.moved`, forward and backward;
- ``volume_gradient(projection, weights)``: the same with respect to the volume, [z, y, x].

It has only the methods that its package can do. ``model`` says which integral it claims (see ``exact.py``), ``slow`` that it
is left out of the longest jobs unless it is asked for by name, ``environment`` what must be set when it is called, and
``use_threads`` sets its threads and returns how many it then has.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

#: Module of each engine and its classes, ours first; the order of the tables.
_MODULES = {
    "ours": ["Fast", "Torch"],
    "rtk": ["RTK"],
    "plastimatch": ["OwnTimer", "Command"],
    "nanodrr": ["NanoDRR"],
    "flashdrr": ["FlashDRR"],
    "diffdrr": ["Trilinear", "Siddon"],
    "sums": ["TorchSum", "NumpySum"],
}


def installed() -> tuple[dict[str, Any], dict[str, str]]:
    """The engines that can run here by their names, and for the modules that cannot, why."""
    found: dict[str, Any] = {}
    missing = {}
    for module, names in _MODULES.items():
        try:
            loaded = import_module(f"engines.{module}")
        except ImportError as reason:
            missing[module] = str(reason)
            continue
        for name in names:
            engine = getattr(loaded, name)
            found[engine.name] = engine
    return found, missing


def version_of(package: str) -> str:
    """The version of an installed distribution."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"  # installed by other means than pip
