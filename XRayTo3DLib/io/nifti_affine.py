"""NIfTI images whose affine matrix has axes that are not at right angles, which ITK refuses although the format allows them.

The voxels are read by ITK from a copy whose header says nothing of orientation; the matrix (sform) is read here. Source: the
NIfTI-1 and NIfTI-2 headers (nifti1.h, nifti2.h).
"""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from XRayTo3DLib.errors import InputError

#: Of NIfTI 1 and 2: bytes of the header, and where its numbers lie (a format of struct and an offset).
_FIELDS = {
    348: {"pixdim": ("8f", 76), "codes": ("2h", 252), "quaternion": ("6f", 256), "sform": ("12f", 280)},
    540: {"pixdim": ("8d", 104), "codes": ("2i", 344), "quaternion": ("6d", 352), "sform": ("12d", 400)},
}


def read_sheared(path: Path) -> sitk.Image:
    """The image with the direction matrix that its sform has, whatever its angles.

    Raises :class:`InputError` for a pair of files, and for a matrix that is singular or not finite.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise InputError(f"The axes of {path} are not at right angles: save it as one .nii or .nii.gz file, or correct its header.")
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    order = "<" if struct.unpack_from("<i", content)[0] in _FIELDS else ">"
    fields = {key: (order + kind, at) for key, (kind, at) in _FIELDS[struct.unpack_from(f"{order}i", content)[0]].items()}
    affine = np.array(struct.unpack_from(*_at(fields["sform"], content))).reshape(3, 4)
    codes = struct.unpack_from(*_at(fields["codes"], content))
    lengths = np.linalg.norm(affine[:, :3], axis=0)
    sound = np.isfinite(affine).all() and lengths.min() > 0 and abs(np.linalg.det(affine[:, :3] / lengths)) > 1e-6
    if codes[1] <= 0 or not sound:
        raise InputError(
            f"The affine matrix in the header of {path} is singular or damaged: correct it, or export the image again."
        )
    pixdim = np.array(struct.unpack_from(*_at(fields["pixdim"], content)))
    plain = {"pixdim": (1.0, *pixdim[1:]), "codes": (1, 0), "quaternion": (0.0,) * 6}
    for key, values in plain.items():
        struct.pack_into(fields[key][0], content, fields[key][1], *values)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "image.nii"
        copy.write_bytes(content)
        image = sitk.ReadImage(str(copy))
    unit = image.GetSpacing()[0] / abs(pixdim[1])  # millimetres of the header's unit
    affine = np.diag([-1.0, -1.0, 1.0]) @ affine * unit  # NIfTI is RAS
    lengths = lengths * unit
    image.SetSpacing(lengths.tolist())
    image.SetOrigin(affine[:, 3].tolist())
    image.SetDirection((affine[:, :3] / lengths).ravel().tolist())
    return image


def _at(field: tuple[str, int], content: bytearray) -> tuple[str, bytearray, int]:
    return field[0], content, field[1]
