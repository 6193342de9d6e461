"""Volumes: reading, checking, resampling, and the two units Hounsfield and attenuation."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import SimpleITK as sitk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import readable_file, writing
from XRayTo3DLib.images.itk_images import grid_of, to_sitk
from XRayTo3DLib.images.shear import straightened
from XRayTo3DLib.images.volume import Volume, check_ct
from XRayTo3DLib.io.ct_padding import without_padding
from XRayTo3DLib.io.dicom_series import read_series
from XRayTo3DLib.io.identity import without_patient
from XRayTo3DLib.io.image_files import check_file
from XRayTo3DLib.io.nifti_affine import read_sheared
from XRayTo3DLib.io.quiet import quiet


def read_image(path: str | Path) -> sitk.Image:
    """Any image that SimpleITK reads, also a folder holding one DICOM series; :class:`InputError` when it cannot.

    What ITK would fill with zeros or squeeze together in silence is refused too: see ``image_files`` and ``dicom_series``. The
    axes of the image may not be at right angles.
    """
    return _read_image(path)[0]


def _read_image(path: str | Path) -> tuple[sitk.Image, tuple[str, ...]]:
    """The image, and notes of what was left out or filled in."""
    source = Path(path)
    try:
        if source.is_dir():
            image, notes = read_series(source)
            return _real(image, source), notes
        readable_file(source, "image")
        check_file(source)
        return _real(_read(source), source), ()
    except MemoryError:
        raise InputError(f"{source} does not fit into memory: cut out or resample what you need of it.") from None
    except (RuntimeError, UnicodeDecodeError):  # the latter for a message that is no text
        raise InputError(
            f"{source} is not an image that SimpleITK can read (NRRD, NIfTI, MetaImage, DICOM, PNG, ...): check the file."
        ) from None
    except OSError as error:
        raise InputError(f"{source} cannot be read ({error.strerror or error}): check the path.") from None


def _read(source: Path) -> sitk.Image:
    try:
        with quiet():
            return _read_as_itk(source)
    except RuntimeError as error:
        if "orthonormal" not in str(error):
            raise
    return read_sheared(source)


def _read_as_itk(source: Path) -> sitk.Image:
    name = source.name
    if not name.lower().endswith(".nii.gz") or not source.with_name(name[:-3]).exists():
        return sitk.ReadImage(str(source))
    # ITK would read a.nii when it is asked for the a.nii.gz beside it.
    with tempfile.TemporaryDirectory() as folder:
        return sitk.ReadImage(shutil.copyfile(source, Path(folder) / "image.nii.gz"))


def _real(image: sitk.Image, source: Path) -> sitk.Image:
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{source} is an image of complex numbers: save the real part, or the magnitude.")
    return image


def read_volume(path: str | Path) -> Volume:
    """A CT in HU from a file or a DICOM folder, checked by :func:`check_ct`, on axes at right angles.

    Padding becomes air, and a sheared volume (a tilted gantry, a header of rounded numbers) is straightened; its ``notes`` say so.
    """
    image, told = _read_image(path)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{path} is a colour or vector image: a CT has one value a voxel; convert it first.")
    if image.GetDimension() != 3:
        raise InputError(f"{path} has {image.GetDimension()} dimensions: a CT volume has 3; export one time point or series.")
    notes = list(told)
    array = without_padding(sitk.GetArrayFromImage(image), notes)
    volume = Volume(array, grid_of(image), notes=without_patient(notes, path))
    check_ct(volume, str(path))
    found = straightened(volume, str(path))
    return replace(found, notes=without_patient(found.notes, path))  # files may be called as the patient is


def write_volume(volume: Volume, path: str | Path) -> None:
    """Write to any format SimpleITK writes, by the file name; the file appears whole or not at all."""
    check_single_file(path)
    with writing(path) as temporary:
        sitk.WriteImage(to_sitk(volume.array, volume.grid), str(temporary), useCompression=True)


def check_single_file(path: str | Path) -> None:
    """Raise :class:`InputError` for a format of two files, whose header would name a temporary file as the other."""
    for ending, instead in ((".mhd", ".mha"), (".nhdr", ".nrrd"), (".hdr", ".nii"), (".img", ".nii")):
        if str(path).lower().removesuffix(".gz").endswith(ending):
            raise InputError(f"{path} would be one of two files that must stay together: end the name in {instead} instead.")
