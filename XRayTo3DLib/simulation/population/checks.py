"""Whether a registration may be used: overlaps that need no labels of the subject, and folds.

The rule: body, lungs and bone found by HU in the subject are carried to the atlas and compared with its own, inside the field of
both. The Dice of the body must be at least 0.85, that of the lungs 0.80 (unless neither holds 200 mL) and that of bone 0.35 (ribs
are one voxel wide at 4 mm, where a shift by one voxel leaves about half). No voxel may fold, the body that both hold must have at
least 1 litre, and the map may not change volumes more than sixfold in more than a hundredth of it: a scan of the abdomen that was
blown up to fill the chest has a perfect Dice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.simulation.population.channels import Pictures
from XRayTo3DLib.simulation.population.fields import displaced, exponential, jacobian_determinants, node_points, resampled, sample
from XRayTo3DLib.simulation.population.registration import Registration

LEAST_DICE = {"body": 0.85, "lungs": 0.80, "bone": 0.35}
#: What neither holds more of is not compared.
_LEAST_ML = {"body": 0.0, "lungs": 200.0, "bone": 20.0}
_LEAST_BODY_ML = 1000.0
#: Natural logarithm of the change of volume, and the share of the shared body that may change by more.
_LARGEST_CHANGE, _CHANGED = float(np.log(6)), 0.01


@dataclass(frozen=True)
class RegistrationCheck:
    """``dice`` of body, lungs and bone (absent where a scan does not hold it), ``folded`` voxels, ``shared_ml`` of body in both
    fields, and ``reasons`` for rejection, empty where the registration may be used."""

    dice: dict[str, float]
    folded: int
    shared_ml: float
    reasons: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        return not self.reasons


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Twice the overlap over the sum of two masks; NaN for two empty ones."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else float("nan")


def pulled(subject: Pictures, registration: Registration, grid: Pictures) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Body, lungs and bone of the subject at the voxels of the atlas, and where both scans have a field."""
    displacement = exponential(torch.from_numpy(registration.velocity), registration.grid)
    there = displaced(node_points(grid.grid), displacement, registration.grid).numpy()
    points = torch.from_numpy((there @ registration.affine[:3, :3].T + registration.affine[:3, 3]).astype(np.float32))
    stacked = torch.from_numpy(np.stack([subject.masks[name] for name in LEAST_DICE]).astype(np.float32))
    moved = sample(stacked, subject.grid, points, "zeros").numpy() > 0.5
    inside = (sample(subject.known[None], subject.grid, points, "zeros").numpy()[..., 0] > 0.5) & (grid.known.numpy() > 0.5)
    return {name: moved[..., number] & inside for number, name in enumerate(LEAST_DICE)}, inside


def check_registration(atlas: Pictures, subject: Pictures, registration: Registration) -> RegistrationCheck:
    """Measure one registration at the voxels of the atlas; folds are counted at half the distance of the velocity's nodes."""
    masks, inside = pulled(subject, registration, atlas)
    voxel_ml = atlas.grid.voxel_volume / 1000
    found: dict[str, float] = {}
    reasons = []
    for name, least in LEAST_DICE.items():
        own = atlas.masks[name] & inside
        if max(own.sum(), masks[name].sum()) * voxel_ml < _LEAST_ML[name]:
            continue
        found[name] = dice(own, masks[name])
        if not found[name] >= least:
            reasons.append(f"Dice of {name} {found[name]:.2f} below {least:.2f}")
    shared = float((masks["body"] & atlas.masks["body"]).sum() * voxel_ml)
    if shared < _LEAST_BODY_ML:
        reasons.append(f"only {shared:.0f} mL of body in both fields")
    changed = _changed(registration, atlas, masks["body"])
    if changed > _CHANGED:
        reasons.append(f"volumes change more than sixfold in {100 * changed:.0f} % of the body")
    folded = folded_voxels(registration)
    if folded:
        reasons.append(f"{folded} folded voxels")
    return RegistrationCheck(found, folded, shared, tuple(reasons))


def _changed(registration: Registration, atlas: Pictures, body: np.ndarray) -> float:
    """The share of ``body`` where the map, affine part included, changes volumes more than sixfold."""
    displacement = exponential(torch.from_numpy(registration.velocity), registration.grid)
    determinants = jacobian_determinants(displacement, registration.grid) * abs(np.linalg.det(registration.affine[:3, :3]))
    grid = registration.grid
    middles = Grid(
        tuple(n - 1 for n in grid.size),  # type: ignore[arg-type]
        grid.spacing,
        tuple(o + s / 2 for o, s in zip(grid.origin, grid.spacing, strict=True)),  # type: ignore[arg-type]
    )
    here = node_points(atlas.grid)[torch.from_numpy(body)]
    change = sample(determinants[None].float(), middles, here)[..., 0].clamp(min=1e-6).log().abs()
    return float((change > _LARGEST_CHANGE).float().mean()) if len(change) else 0.0


def folded_voxels(registration: Registration) -> int:
    """Cells with a determinant of 0 or less, of the map integrated on a grid twice as fine as the velocity's."""
    own = registration.grid
    fine = own.resized(tuple(2 * n for n in own.size))
    velocity = resampled(torch.from_numpy(registration.velocity), own, fine)
    return int((jacobian_determinants(exponential(velocity, fine), fine) <= 0).sum())
