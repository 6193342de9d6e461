"""Scalar volumes, whether one can be a CT, and the two units Hounsfield and attenuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid

#: Attenuation of water in 1/mm at about 70 keV, the effective energy of diagnostic CT (NIST XCOM: 0.193 1/cm).
MU_WATER = 0.0193
AIR_HU = -1000.0

#: A CT whose values all lie above this holds no air.
_NO_AIR = -200.0
#: The median of a CT cropped inside the body: fat and soft tissue, up to compact bone.
_TISSUE_HU = (-150.0, 700.0)
#: Background is more than this share of the voxels within this share of the range above the lowest value.
_BACKGROUND, _LOWER_END = 0.2, 0.05
#: Of 256 values.
_MOST_OF_A_BYTE = 200
#: Voxels along an axis that are looked at for it.
_SAMPLED = 100


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar volume: ``array`` [z, y, x], its ``grid`` (LPS, mm) and its ``unit``, ``"HU"``, ``"1/mm"`` or ``"1"``.

    The unit 1 is that of probabilities and shares, which are neither HU nor attenuation and never become either.
    ``notes`` are sentences for the user: what was left out, filled in or resampled when it was read.
    """

    array: np.ndarray
    grid: Grid
    unit: str = "HU"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise InputError(f"The volume has the shape {self.array.shape} but its grid has {self.grid.shape}.")
        if self.unit not in ("HU", "1/mm", "1"):
            raise InputError(f"The unit of a volume is HU, 1/mm or 1, not {self.unit!r}.")


def check_ct(volume: Volume, name: str = "The volume") -> None:
    """Raise :class:`InputError` unless this can be a CT in HU: finite, not flat or constant, values in range.

    A CT that holds air is told by it. One that was cropped inside the body has none: then its numbers must be signed, most of
    them those of tissue, and their lower end no background; see :func:`_why_no_hounsfield`.
    """
    array = volume.array
    if array.ndim != 3 or min(array.shape) < 2:
        raise InputError(f"{name} has the shape {array.shape} (z, y, x): a CT needs at least 2 voxels along each axis.")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinite voxels: replace them (with -1000 HU for air) and try again.")
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise InputError(f"{name} is constant ({low:g} everywhere): it holds no anatomy; check the file.")
    if low >= _NO_AIR:
        reason = _why_no_hounsfield(array, low, high)
        if reason:
            raise InputError(f"{name} has values from {low:g} to {high:g}, {reason}")
    if low < -20000 or high < _NO_AIR or high > 70000 or high - low < 100:
        raise InputError(f"{name} has values from {low:g} to {high:g}, which are not HU: export the CT in HU.")


def _why_no_hounsfield(array: np.ndarray, low: float, high: float) -> str:
    """Why values without air can be no HU, as the end of a sentence; nothing when they may be tissue.

    An 8-bit picture has one byte a voxel, or starts at 0, or fills most of a byte's range. Stored values without their intercept
    put soft tissue near 1000. Pictures, MR and windowed CTs pile up at their lower end, where the background is: at 0, below
    all fat, or far from the rest.
    """
    eight_bits = "which are not HU but an 8-bit picture: export the CT in HU."
    stored = "and no air below -200 HU, so they are not HU: apply the rescale slope and intercept of its DICOM header."
    if array.dtype == bool or array.dtype.itemsize == 1 or (low == 0 and high <= 255):
        return eight_bits
    steps = tuple(slice(None, None, max(1, n // _SAMPLED)) for n in array.shape)
    values = np.asarray(array[steps], dtype=np.float64)
    bottom, middle, top = np.percentile(values, (0.5, 50, 99.5))
    if low > 0 and high <= 255 and top - bottom >= _MOST_OF_A_BYTE:
        return eight_bits
    piled = np.mean(values <= low + _LOWER_END * (top - low)) > _BACKGROUND
    apart = np.mean(values > _TISSUE_HU[1]) > _BACKGROUND / 2
    # Air that a window cut off has exactly one value, which fat of about the same HU has not.
    cut = low < _TISSUE_HU[0] and np.mean(values == low) > _BACKGROUND / 2
    background = cut or (piled and (abs(low) <= 5 or apart))
    tissue = _TISSUE_HU[0] <= middle <= _TISSUE_HU[1]
    return "" if tissue and not background and not np.issubdtype(array.dtype, np.unsignedinteger) else stored


def to_attenuation(volume: Volume) -> Volume:
    """HU to 1/mm: ``mu = mu_water (1 + HU / 1000)``, not below 0; float32. A volume in 1/mm is returned as it is."""
    if volume.unit == "1/mm":
        return volume
    if volume.unit == "1":
        raise InputError("A volume of probabilities has no attenuation: give a CT or a reconstruction.")
    # In place: a CT is large, and every copy of it takes longer than an X-ray of it.
    mu = volume.array.astype(np.float32)
    mu += np.float32(1000)
    mu *= np.float32(MU_WATER / 1000)
    return Volume(np.maximum(mu, 0, out=mu), volume.grid, "1/mm")


def to_hu(volume: Volume) -> Volume:
    """1/mm to HU, float32, the inverse of :func:`to_attenuation` above -1000 HU."""
    if volume.unit == "HU":
        return volume
    if volume.unit == "1":
        raise InputError("A volume of probabilities has no HU: give a CT or a reconstruction.")
    return Volume(((volume.array / MU_WATER - 1) * 1000).astype(np.float32), volume.grid, "HU")
