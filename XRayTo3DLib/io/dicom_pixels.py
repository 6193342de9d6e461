"""The stored values of one DICOM X-ray: decoded, complete, and as its tags speak of them.

Pixel Intensity Relationship, Pixel Padding Value and the Modality LUT are all said of *stored* values. ITK gives rescaled
ones, turned over for MONOCHROME1 and wrong for signed ones, so pixels that are not compressed are taken by numpy. Compressed
ones are decoded by GDCM (through SimpleITK) from a copy whose header says nothing of their meaning, and by pydicom's decoders
where GDCM has none: High-Throughput JPEG 2000 needs the packages pylibjpeg and pylibjpeg-openjpeg.

References: DICOM PS3.3 C.7.6.3 (Image Pixel), PS3.5 8 (encoding of pixels) and A.4 (encapsulated ones).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import encaps
from pydicom.config import IGNORE, settings
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.dicom_headers import number, word
from XRayTo3DLib.io.quiet import quiet

#: Transfer syntaxes that GDCM decodes: JPEG (baseline, extended, lossless), JPEG-LS, JPEG 2000.
_GDCM = {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91)}
#: Streams that end with an "end of image" marker.
_END = b"\xff\xd9"
_FLOATS = {"FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}


@dataclass(frozen=True, eq=False)
class DicomPixels:
    """One frame of a DICOM file.

    - ``values`` [row, column, sample]: the stored values, float64, of BitsStored bits;
    - ``allocated``: the same with all BitsAllocated bits, as a padding value may use them;
    - ``notes``: what was odd.
    """

    values: np.ndarray
    allocated: np.ndarray
    notes: tuple[str, ...] = ()


def read_pixels(path: str | Path, frame: int = 0) -> DicomPixels:
    """One frame (from 0) of a DICOM file that :func:`.dicom_headers.check_dicom` has passed.

    Raises :class:`InputError` for a file without pixels, with too few or too many of them, and for a compression that no decoder
    here knows, each with its reason.
    """
    mode, settings.reading_validation_mode = settings.reading_validation_mode, IGNORE
    try:
        dataset = pydicom.dcmread(path)
        syntax = UID(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", "") or ImplicitVRLittleEndian)
        rows, columns, samples = (int(number(dataset, key) or 0) for key in ("Rows", "Columns", "SamplesPerPixel"))
        frames, samples = int(number(dataset, "NumberOfFrames") or 1), samples or 1
        if rows < 1 or columns < 1 or not any(key in dataset for key in ("PixelData", *_FLOATS)):
            raise InputError(f"{path} holds no picture, only a DICOM header (no Rows, Columns or Pixel Data): export the image.")
        shape = (rows, columns, samples)
        if samples > 1 or (syntax.is_compressed and not syntax.is_deflated):
            decoded = _decoded(dataset, syntax, frame, frames, str(path)).reshape(shape)
            notes: tuple[str, ...] = ()
        else:
            decoded, notes = _native(dataset, syntax, frame, frames, shape, str(path))
    finally:
        settings.reading_validation_mode = mode
    return DicomPixels(_of_stored_bits(decoded, dataset), decoded, notes)


def _native(
    dataset: Dataset, syntax: UID, frame: int, frames: int, shape: tuple[int, int, int], name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Pixels that are not compressed, and a note where there is more than the header says."""
    order = "<" if syntax.is_little_endian else ">"
    key = next((key for key in _FLOATS if key in dataset), "PixelData")
    bits = int(number(dataset, "BitsAllocated") or 0)
    if key == "PixelData" and bits not in (8, 16, 32):
        raise InputError(f"{name} has pixels of {bits} bits, which no X-ray has: export it with 8 or 16 bits a pixel.")
    signed = number(dataset, "PixelRepresentation") == 1
    dtype = np.dtype(order + (_FLOATS[key] if key in _FLOATS else f"{'i' if signed else 'u'}{bits // 8}"))
    held = bytes(dataset[key].value or b"")
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    row = shape[1] * shape[2] * dtype.itemsize
    if len(held) < size * frames or len(held) >= size * frames + max(row, 3):
        raise InputError(
            f"The DICOM file {name} holds {len(held)} bytes of pixels where its header says {size * frames}: it is damaged or cut "
            "off; copy or export it again."
        )
    notes = ("Bytes after the last pixel were left out.",) if len(held) > size * frames + 1 else ()
    pixels = np.frombuffer(held, dtype, size // dtype.itemsize, frame * size)
    return pixels.reshape(shape), notes


def _decoded(dataset: Dataset, syntax: UID, frame: int, frames: int, name: str) -> np.ndarray:
    """Compressed or coloured (RGB) pixels; :class:`InputError` with the reason where they are damaged or nobody decodes them."""
    syntax_name = syntax.name if syntax.name != str(syntax) else f"the transfer syntax {syntax}"
    try:
        if str(syntax) in _GDCM:
            stream = encaps.get_frame(dataset.PixelData, frame, number_of_frames=frames)
            if _END not in stream[-64:]:
                raise InputError(f"The compressed pixels of {name} ({syntax_name}) are cut off: copy or export it again.")
            return _by_gdcm(dataset, syntax, stream)
        from pydicom.pixels import get_decoder

        decoder = get_decoder(syntax)
        if not decoder.is_available:
            raise NotImplementedError
        with quiet():
            return decoder.as_array(dataset, index=frame)[0]
    except InputError:
        raise
    except NotImplementedError:
        wanted = "install the packages pylibjpeg and pylibjpeg-openjpeg, or " if "JPEG 2000" in syntax_name else ""
        raise InputError(
            f"The pixels of {name} are encoded as {syntax_name}, which cannot be decoded here: {wanted}export the image "
            "uncompressed."
        ) from None
    except Exception as error:  # decoders raise whatever their parsing meets
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"The pixels of {name} ({syntax_name}) are damaged ({reason[:80]}): copy or export it again.") from None


def _by_gdcm(dataset: Dataset, syntax: UID, stream: bytes) -> np.ndarray:
    """The frame of a copy that holds nothing but the compressed stream and its form."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = syntax
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID = SecondaryCaptureImageStorage
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID = generate_uid()
    for key in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        if key in dataset:
            setattr(bare, key, dataset[key].value)
    colour = (number(dataset, "SamplesPerPixel") or 1) > 1
    bare.PhotometricInterpretation = word(dataset, "PhotometricInterpretation") if colour else "MONOCHROME2"
    if colour:
        bare.PlanarConfiguration = int(number(dataset, "PlanarConfiguration") or 0)
    bare.PixelData = encaps.encapsulate([stream])
    bare["PixelData"].is_undefined_length = True
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "frame.dcm"
        pydicom.dcmwrite(file, bare, enforce_file_format=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


def _of_stored_bits(pixels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """The values of BitsStored bits, whose highest is HighBit: what other bits hold (old overlays) is none of them."""
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float64)
    whole = 8 * pixels.dtype.itemsize
    stored = int(number(dataset, "BitsStored") or whole)
    high = int(number(dataset, "HighBit") or stored - 1)
    if not 1 <= stored < whole or not stored - 1 <= high < whole:
        return pixels.astype(np.float64)
    values = (pixels.astype(np.int64) >> (high + 1 - stored)) & ((1 << stored) - 1)
    if number(dataset, "PixelRepresentation") == 1:
        values = np.where(values >= 1 << (stored - 1), values - (1 << stored), values)
    return values.astype(np.float64)
