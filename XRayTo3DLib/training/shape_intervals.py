"""The 90 % intervals of volumes that a shape model's card states, from an evaluation on patients that were held back.

``python -m XRayTo3DLib.training.shape_intervals MODEL.pt SHAPES.json``: SHAPES.json is what ``xrayto3d evaluate --shapes --method
MODEL.pt`` wrote for patients that the model was not trained on and that no figure is stated of. For every organ and setting the
factors between which 90 % of the true volumes lie, over the model's own, are written into the card (split conformal prediction).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.models.torchscript import card_in, with_card
from XRayTo3DLib.shapes.interval import interval_factors
from XRayTo3DLib.training.export import list_checksums

#: Fewer cases than this state no interval of 90 %: the extremes of so few cover less.
LEAST_CASES = 19


def with_intervals(card: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """The card with the factors of every organ and setting that enough cases were measured in, by the model itself."""
    name = card["name"]
    volumes: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in results["cases"]:
        if row["model"] == name and row["volume_ml"] > 0:
            pairs = volumes.setdefault(row["organ"], {}).setdefault(row["setting"], [])
            pair = (float(row["volume_ml_truth"]), float(row["volume_ml"]))
            if pair not in pairs:  # the default method is the model again
                pairs.append(pair)
    structures, measured = [], False
    for structure in card["outputs"]["structures"]:
        factors = {}
        for setting, pairs in volumes.get(structure["name"], {}).items():
            if len(pairs) >= LEAST_CASES:
                low, high = interval_factors([true for true, _ in pairs], [found for _, found in pairs])
                factors[setting] = [round(low, 4), round(high, 4)]
        measured = measured or bool(factors)
        structures.append({**structure, **({"volume_interval": factors} if factors else {})})
    if not measured:
        raise InputError(f"No organ of {name} was measured in at least {LEAST_CASES} cases: evaluate it on more patients.")
    return {**card, "outputs": {**card["outputs"], "structures": structures}}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the .pt whose card is written anew")
    parser.add_argument("results", type=Path, help="shapes.json of patients that were held back")
    arguments = parser.parse_args(argv)
    data = arguments.model.read_bytes()
    card = with_intervals(card_in(data, str(arguments.model)), json.loads(arguments.results.read_text(encoding="utf-8")))
    with writing(arguments.model) as temporary:
        temporary.write_bytes(with_card(data, card))
    if (arguments.model.parent / "SHA256SUMS").is_file():
        list_checksums(arguments.model.parent)


if __name__ == "__main__":
    main()
