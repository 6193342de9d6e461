"""A tiny recipe of a system that learns organs, and heads that are ellipsoids with a bright one, their mandible, inside."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.training.recipes import Recipe, bundled_recipes, recipe_of, tomllib

#: Half axes (x, y, z) in mm of the mandible of each head, and its middle in LPS mm; the head is centred on (10, -20).
MANDIBLES = {"one": ((30, 18, 15), (25, -60, -90)), "two": ((24, 24, 20), (10, -50, -70)), "cut": ((24, 24, 30), (10, -50, -178))}
_SPACING = 4.0


def organ_recipe(name: str, network: dict[str, Any], loss: dict[str, float] | None = None, **schedule: Any) -> Recipe[Any]:
    """A bundled recipe, small enough for a test."""
    table = copy.deepcopy(tomllib.loads(bundled_recipes()[name].read_text(encoding="utf-8")))
    table["schedule"].update({"batch": 2, "checkpoint_every": 5, "warm_up": 0, **schedule})
    table["data"] = [{"group": "head", "folder": "heads", "weight": 1.0}]
    table["organ"].update({"spacing": 3.0, "variants": 2})
    table["network"].update(network)
    table["loss"].update(loss or {})
    return recipe_of(table, "tiny.toml")


def heads(folder: Path) -> Path:
    """A data folder of three labelled heads; the mandible of the last is cut by the end of the scan."""
    (folder / "heads").mkdir(parents=True, exist_ok=True)
    size, origin = (50, 56, 48), (-90.0, -132.0, -180.0)
    z, y, x = np.meshgrid(*[np.arange(n) * _SPACING + o for n, o in zip(size[::-1], origin[::-1], strict=True)], indexing="ij")
    for name, (axes, centre) in MANDIBLES.items():
        head = ((x - 10) / 75) ** 2 + ((y + 20) / 95) ** 2 < 1
        bone = sum(((v - c) / a) ** 2 for v, c, a in zip((x, y, z), centre, axes, strict=True)) < 1
        for array, ending in ((np.where(bone, 1500, np.where(head, 0, -1000)), ""), (7 * bone, ".labels")):
            image = sitk.GetImageFromArray(array.astype(np.uint8 if ending else np.int16))
            image.SetSpacing((_SPACING,) * 3)
            image.SetOrigin(origin)
            sitk.WriteImage(image, str(folder / "heads" / f"{name}{ending}.nii.gz"))
    return folder
