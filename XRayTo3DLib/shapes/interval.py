"""The interval of an organ's volume: how far the volumes of cases that were held back lay from the model's own.

A model's card carries, with each structure, ``"volume_interval"``: by setting the factors (least, largest) by which the true
volume differed from the model's in 90 % of the cases that it was calibrated on (split conformal prediction of the logarithm;
Vovk et al., Algorithmic Learning in a Random World, 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from XRayTo3DLib.shapes.base import Masks

#: The share of true volumes that an interval is to hold.
COVERAGE = 0.9


def setting_name(views: int, masks: Masks) -> str:
    """What tables and cards call this many views, with or without drawn masks: ``"one_view"``, ``"two_views_mask"``, ..."""
    count = {1: "one_view", 2: "two_views"}.get(views, "more_views")
    return f"{count}_mask" if any(mask is not None for mask in masks) else count


def volume_interval(card: dict[str, Any], organ: str, views: int, masks: Masks, volume_ml: float) -> tuple[float, float] | None:
    """The 90 % interval in mL by the factors of a model's card; ``None`` when it has none.

    A setting that was not measured takes the widest of those that were, and more than two views those of two.
    """
    entry: dict[str, Any] = next((s for s in card["outputs"].get("structures", []) if s["name"] == organ), {})
    known: dict[str, Sequence[float]] = entry.get("volume_interval", {})
    if not known:
        return None
    setting = setting_name(min(views, 2), masks)
    factors = known.get(setting) or known.get(setting.removesuffix("_mask")) or max(known.values(), key=lambda f: f[1] - f[0])
    return volume_ml * float(factors[0]), volume_ml * float(factors[1])


def interval_factors(true_ml: Sequence[float], found_ml: Sequence[float], coverage: float = COVERAGE) -> tuple[float, float]:
    """The factors (least, largest) of a card, from calibration cases: conformal quantiles of true over found volume.

    Each tail is left out alike. With fewer cases than the quantile needs the extremes are taken.
    """
    ratios = np.sort(np.log(np.asarray(true_ml, dtype=float) / np.asarray(found_ml, dtype=float)))
    count, tail = len(ratios), (1 - coverage) / 2
    rank = int(np.floor((count + 1) * tail))
    low, high = ratios[max(rank - 1, 0)], ratios[min(count - rank, count - 1)] if rank else ratios[-1]
    return float(np.exp(low)), float(np.exp(high))
