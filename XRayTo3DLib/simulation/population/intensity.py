"""A statistical model of intensity: HU of tissues between subjects, and a CT given other ones.

Fat, muscle, the air content of the lungs, bone density and contrast agent (in blood, liver, spleen and kidneys) vary apart from
shape. Each tissue has a typical value a subject (the median over its voxels); a sample draws one from a normal distribution and
shifts the tissue to it (lungs and bone are scaled: what has twice the mass has it everywhere).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from XRayTo3DLib.images.volume import AIR_HU
from XRayTo3DLib.simulation.population.atlas import Groups

#: Tissues that labels tell, and the organs that make them.
ORGANS = {
    "lungs": ("lungs", "lung_left", "lung_right"),
    "blood": ("heart",),
    "liver": ("liver",),
    "spleen": ("spleen",),
    "kidneys": ("kidney_left", "kidney_right"),
}
#: Tissues that HU tells outside of those.
_CLASSES = {"fat": (-150.0, -40.0), "muscle": (0.0, 110.0), "bone": (180.0, 2000.0)}
TISSUES = (*ORGANS, *_CLASSES)
#: Standard deviations in HU that a few subjects cannot show to be smaller.
_LEAST_SPREAD = {
    "lungs": 20.0,
    "blood": 15.0,
    "liver": 8.0,
    "spleen": 8.0,
    "kidneys": 15.0,
    "fat": 5.0,
    "muscle": 6.0,
    "bone": 20.0,
}
_LEAST_VOXELS = 200
#: Smoothing of the edges of tissues in voxels: a shift without a seam.
_EDGE = 0.7
_LIMIT = 2.0


@dataclass(frozen=True)
class IntensityModel:
    """``mean`` and ``spread`` (standard deviation) in HU of every tissue that was measured."""

    mean: dict[str, float]
    spread: dict[str, float]

    def drawn(self, generator: np.random.Generator) -> dict[str, float]:
        """Typical HU of every tissue of a new subject; no farther than two standard deviations from the mean."""
        steps = generator.standard_normal(len(TISSUES)).clip(-_LIMIT, _LIMIT)
        return {
            name: self.mean[name] + self.spread[name] * step for name, step in zip(TISSUES, steps, strict=True) if name in self.mean
        }


def tissue_masks(hounsfield: np.ndarray, labels: np.ndarray, groups: Groups) -> dict[str, np.ndarray]:
    """Where each tissue is, bool [z, y, x]: organs by their labels, then fat, muscle and bone by their HU."""
    found, rest = {}, np.ones(labels.shape, dtype=bool)
    for name, organs in ORGANS.items():
        mask = np.isin(labels, [n for organ in organs for n in groups.get(organ, ())])
        if name == "lungs":
            mask &= hounsfield < -300
        rest &= ~mask
        found[name] = mask
    for name, (low, high) in _CLASSES.items():
        found[name] = rest & (hounsfield >= low) & (hounsfield < high)
    return found


def measure_tissues(hounsfield: np.ndarray, labels: np.ndarray, groups: Groups, known: np.ndarray) -> dict[str, float]:
    """The median HU of every tissue inside the ``known`` field that has enough voxels there."""
    masks = {name: mask & known for name, mask in tissue_masks(hounsfield, labels, groups).items()}
    return {name: float(np.median(hounsfield[mask])) for name, mask in masks.items() if mask.sum() >= _LEAST_VOXELS}


def fit_intensity(subjects: Sequence[Mapping[str, float]]) -> IntensityModel:
    """Mean and standard deviation of each tissue over the subjects that show it."""
    values = {name: [one[name] for one in subjects if name in one] for name in TISSUES}
    mean = {name: float(np.mean(found)) for name, found in values.items() if found}
    spread = {
        name: max(float(np.std(values[name], ddof=1)) if len(values[name]) > 1 else 0.0, _LEAST_SPREAD[name]) for name in mean
    }
    return IntensityModel(mean, spread)


def with_tissues(hounsfield: np.ndarray, labels: np.ndarray, groups: Groups, wanted: Mapping[str, float]) -> np.ndarray:
    """HU float32 [z, y, x] whose tissues have the ``wanted`` typical values; tissues that are not there are left out."""
    made = hounsfield.astype(np.float32)
    everywhere = np.ones(labels.shape, dtype=bool)
    has = measure_tissues(hounsfield, labels, groups, everywhere)
    change = np.zeros_like(made)
    for name, mask in tissue_masks(hounsfield, labels, groups).items():
        if name not in has or name not in wanted:
            continue
        if name in ("lungs", "bone"):
            zero = AIR_HU if name == "lungs" else _CLASSES["bone"][0] - 80
            scale = float(np.clip((wanted[name] - zero) / max(has[name] - zero, 1.0), 0.5, 2.0))
            step = (scale - 1) * (made - zero)
        else:
            step = np.float32(wanted[name] - has[name])
        # Smoothed with its mask beyond it: what lies beside lung is not scaled as lung.
        inside = np.where(mask, step, 0).astype(np.float32)
        change += np.where(mask, inside, ndimage.gaussian_filter(inside, _EDGE))
    return np.maximum(made + change, AIR_HU)
