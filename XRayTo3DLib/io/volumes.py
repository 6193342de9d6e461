"""Volumes: reading, checking, resampling, and the two units Hounsfield and attenuation."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.images.itk_images import grid_of, to_sitk
from XRayTo3DLib.images.volume import Volume, check_ct
from XRayTo3DLib.io.dicom_series import quiet, series_files
from XRayTo3DLib.io.image_files import check_file


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


def write_volume(volume: Volume, path: str | Path) -> None:
    """Write to any format SimpleITK writes, by the file name; the file appears whole or not at all."""
    with writing(path) as temporary:
        sitk.WriteImage(to_sitk(volume.array, volume.grid), str(temporary), useCompression=True)
