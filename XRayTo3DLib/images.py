"""Volumes: reading, checking, resampling, and the two units Hounsfield and attenuation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.dicom_series import quiet, series_files
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry import Grid
from XRayTo3DLib.image_files import check_file

#: Attenuation of water in 1/mm at about 70 keV, the effective energy of diagnostic CT (NIST XCOM: 0.193 1/cm).
MU_WATER = 0.0193
AIR_HU = -1000.0


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar volume: ``array`` [z, y, x], its ``grid`` (LPS, mm) and its ``unit``, ``"HU"`` or ``"1/mm"``."""

    array: np.ndarray
    grid: Grid
    unit: str = "HU"

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise InputError(f"The volume has the shape {self.array.shape} but its grid has {self.grid.shape}.")
        if self.unit not in ("HU", "1/mm"):
            raise InputError(f"The unit of a volume is HU or 1/mm, not {self.unit!r}.")


@dataclass(frozen=True, eq=False)
class Labelmap:
    """Structures as integers: ``array`` uint8 [z, y, x], 0 outside; ``names`` gives each label's name, in order."""

    array: np.ndarray
    grid: Grid
    names: dict[int, str]

    def mask(self, label: int | str) -> np.ndarray:
        """Boolean [z, y, x] of one structure, by number or name."""
        numbers = [n for n, name in self.names.items() if label in (n, name)]
        if not numbers:
            raise InputError(f"There is no structure {label!r}: it has {', '.join(self.names.values())}.")
        return self.array == numbers[0]


def read_image(path: str | Path) -> sitk.Image:
    """Any image that SimpleITK reads, also a folder holding one DICOM series; :class:`InputError` when it cannot.

    What ITK would fill with zeros or squeeze together in silence is refused too: see ``image_files`` and ``dicom_series``.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"{source} does not exist: check the path.")
    try:
        if source.is_dir():
            files = series_files(source)
            with quiet():
                return sitk.ReadImage(files)
        check_file(source)
        return sitk.ReadImage(str(source))
    except RuntimeError:
        raise InputError(
            f"{source} is not an image that SimpleITK can read (NRRD, NIfTI, MetaImage, DICOM, PNG, ...): check the file."
        ) from None


def read_volume(path: str | Path) -> Volume:
    """A CT in HU from a file or a DICOM folder, checked by :func:`check_ct`."""
    image = read_image(path)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{path} is a colour or vector image: a CT has one value a voxel; convert it first.")
    if image.GetDimension() != 3:
        raise InputError(f"{path} has {image.GetDimension()} dimensions: a CT volume has 3; export one time point or series.")
    volume = Volume(sitk.GetArrayFromImage(image), grid_of(image))
    check_ct(volume, str(path))
    return volume


def check_ct(volume: Volume, name: str = "The volume") -> None:
    """Raise :class:`InputError` unless this can be a CT in HU: finite, not flat or constant, air and tissue in range."""
    array = volume.array
    if array.ndim != 3 or min(array.shape) < 2:
        raise InputError(f"{name} has the shape {array.shape} (z, y, x): a CT needs at least 2 voxels along each axis.")
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinite voxels: replace them (with -1000 HU for air) and try again.")
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise InputError(f"{name} is constant ({low:g} everywhere): it holds no anatomy; check the file.")
    if low >= -200 and high <= 255:
        raise InputError(f"{name} has values from {low:g} to {high:g}, which are not HU but an 8-bit picture: export the CT in HU.")
    if low >= -200:
        raise InputError(
            f"{name} has values from {low:g} to {high:g} and no air below -200 HU, so they are not HU: apply the rescale "
            "slope and intercept of its DICOM header."
        )
    if low < -20000 or high < -200 or high > 70000 or high - low < 100:
        raise InputError(f"{name} has values from {low:g} to {high:g}, which are not HU: export the CT in HU.")


def grid_of(image: sitk.Image) -> Grid:
    """The grid of a 3D SimpleITK image."""
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), np.reshape(image.GetDirection(), (3, 3)))


def to_sitk(array: np.ndarray, grid: Grid) -> sitk.Image:
    """An array [z, y, x] with its grid as a SimpleITK image."""
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction.ravel().tolist())
    return image


def write_volume(volume: Volume, path: str | Path) -> None:
    """Write to any format SimpleITK writes, by the file name; the file appears whole or not at all."""
    with writing(path) as temporary:
        sitk.WriteImage(to_sitk(volume.array, volume.grid), str(temporary), useCompression=True)


def resample(volume: Volume, grid: Grid, smooth: bool = False) -> Volume:
    """Linear interpolation onto ``grid``, float32; outside the volume is air.

    ``smooth`` first removes what the coarser grid cannot hold (a Gaussian along each axis whose spacing grows).
    """
    image = sitk.Cast(to_sitk(volume.array, volume.grid), sitk.sitkFloat32)
    if smooth:
        ratio = np.array(grid.spacing) / np.array(volume.grid.spacing)
        sigma = 0.42 * np.array(volume.grid.spacing) * np.sqrt(np.maximum(ratio**2 - 1, 0))
        for axis, width in enumerate(sigma):
            if width > 0:
                image = sitk.RecursiveGaussian(image, width, direction=axis)
    outside = AIR_HU if volume.unit == "HU" else 0.0
    direction = grid.direction.ravel().tolist()
    moved = sitk.Resample(image, grid.size, sitk.Transform(), sitk.sitkLinear, grid.origin, grid.spacing, direction, outside)
    return Volume(sitk.GetArrayFromImage(moved), grid, volume.unit)


def to_attenuation(volume: Volume) -> Volume:
    """HU to 1/mm: ``mu = mu_water (1 + HU / 1000)``, not below 0; float32. A volume in 1/mm is returned as it is."""
    if volume.unit == "1/mm":
        return volume
    # In place: a CT is large, and every copy of it takes longer than an X-ray of it.
    mu = volume.array.astype(np.float32)
    mu += np.float32(1000)
    mu *= np.float32(MU_WATER / 1000)
    return Volume(np.maximum(mu, 0, out=mu), volume.grid, "1/mm")


def to_hu(volume: Volume) -> Volume:
    """1/mm to HU, float32, the inverse of :func:`to_attenuation` above -1000 HU."""
    if volume.unit == "HU":
        return volume
    return Volume(((volume.array / MU_WATER - 1) * 1000).astype(np.float32), volume.grid, "HU")
