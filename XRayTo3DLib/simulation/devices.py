"""Simulated X-rays as the devices of a hospital store them: DX, CR, XA, the topogram of a CT, and a picture.

Each file says what such a device says and no more, so that reading it back shows what its format can carry: a detector's
counts with their distances (DX, XA), grey values on an arbitrary scale (CR, a topogram), or a picture without any geometry
(PNG). Sources: DICOM PS3.3 A.26 (DX), A.2 (CR), A.14 (XA), A.3 (CT), C.8.7 (angiography), C.8.11 (digital X-ray).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    XRayAngiographicImageStorage,
    generate_uid,
)
from pydicom.valuerep import DSfloat

import XRayTo3DLib
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike, vector
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.dicom_orientation import letters_towards
from XRayTo3DLib.io.pictures import write_picture

#: Counts of the open beam in a detector of 16 bits, and of its highest value.
_OPEN_BEAM, _HIGHEST = 60000, 65535
#: How thick a patient is whose table is named, in mm.
_THICKNESS = 300
#: Grey values of a plate and of a topogram: their step in line integrals, which the files do not tell.
_PLATE_STEP, _PLATE_OFFSET, _TOPOGRAM_STEP = 1 / 400, 150, 1 / 250
#: Codes of PS3.16 CID 4010.
_CODES = {
    "AP": ("399348003", "antero-posterior"),
    "PA": ("272479007", "postero-anterior"),
    "LL": ("399173006", "left lateral"),
    "RL": ("399198007", "right lateral"),
}
_VIEWS = {"AP": "AP", "PA": "PA", "LAT": "LL", "LLAT": "LL", "RLAT": "RL", "LL": "LL", "RL": "RL"}


def write_as(radiograph: Radiograph, device: str, path: str | Path, isocentre: ArrayLike) -> None:
    """Write a simulated radiograph as one of :data:`DEVICES` would; the file appears whole or not at all.

    ``isocentre`` (LPS mm) is the point that the beam is aimed at, from which the distances follow; only a topogram has a place
    for it. Raises :class:`InputError` for a beam that the device has not, and for a view that it has no word for.
    """
    if device not in DEVICES:
        raise InputError(f"The device {device!r} is not known: use one of {', '.join(DEVICES)}.")
    aim = vector(isocentre, "isocentre")
    if device == "PNG":
        write_picture(radiograph, path, "film")
        return
    projection = radiograph.projection
    if (device == "topogram") != projection.is_scanned or projection.ray_direction is not None:
        beam = "scanned" if device == "topogram" else "cone"
        raise InputError(f"{device} has a {beam} beam, which that of {radiograph.name!r} is not: simulate it with one.")
    dataset = _common(radiograph)
    _WRITERS[device](dataset, radiograph, aim)
    with writing(path) as temporary:
        pydicom.dcmwrite(temporary, dataset, enforce_file_format=True)


def _common(radiograph: Radiograph) -> Dataset:
    """What every image says of itself: nothing of a patient, and that it was simulated."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    for empty in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
        *("ReferringPhysicianName", "SeriesNumber", "KVP"),
    ):
        setattr(dataset, empty, None)
    now = datetime.now()
    dataset.ContentDate, dataset.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.AcquisitionDate, dataset.AcquisitionTime = dataset.ContentDate, dataset.ContentTime
    dataset.Manufacturer, dataset.ManufacturerModelName = "XRayTo3D", "simulated"
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = XRayTo3DLib.__version__, "0"
    dataset.SeriesDescription, dataset.BodyPartExamined = "Simulated, not for diagnosis", "CHEST"
    dataset.InstanceNumber, dataset.BurnedInAnnotation, dataset.LossyImageCompression = 1, "NO", "00"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    projection = radiograph.projection
    dataset.PatientOrientation = [letters_towards(projection.row_direction), letters_towards(projection.column_direction)]
    return dataset


def _set_pixels(dataset: Dataset, values: np.ndarray, bits: int = 16, signed: bool = False) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    stored = np.clip(np.rint(values), low, high).astype("<i2" if signed else "<u2")
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, bits, bits - 1, int(signed)
    dataset.PixelData = stored.tobytes()


def _counts(radiograph: Radiograph) -> np.ndarray:
    """What a detector without noise counts behind the patient."""
    return _OPEN_BEAM * np.exp(-radiograph.line_integrals.astype(np.float64))


def _dx(dataset: Dataset, radiograph: Radiograph, aim: np.ndarray) -> None:
    """A flat panel, for processing: counts, the view by its word, distances to the detector and to the table."""
    _kind(dataset, DigitalXRayImageStorageForProcessing, "DX", ["ORIGINAL", "PRIMARY", ""])
    _set_pixels(dataset, _counts(radiograph))
    dataset.PresentationIntentType, dataset.ImageLaterality = "FOR PROCESSING", "U"
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LIN", 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.AnatomicRegionSequence, dataset.AcquisitionContextSequence = _coded("51185008", "Thorax"), Sequence()
    dataset.DetectorType, dataset.PositionerType = None, "COLUMN"
    dataset.ViewPosition = _view(radiograph)
    dataset.ViewCodeSequence = _coded(*_CODES[dataset.ViewPosition])
    _set_distances(dataset, radiograph.projection, aim, _THICKNESS / 2)
    dataset.BodyPartThickness = _THICKNESS


def _cr(dataset: Dataset, radiograph: Radiograph, aim: np.ndarray) -> None:
    """A storage plate: grey values that rise with attenuation, on a scale that nobody tells."""
    _kind(dataset, ComputedRadiographyImageStorage, "CR", ["ORIGINAL", "PRIMARY"])
    _set_pixels(dataset, radiograph.line_integrals / _PLATE_STEP + _PLATE_OFFSET, bits=12)
    dataset.ViewPosition = _view(radiograph)
    _set_distances(dataset, radiograph.projection, aim, _THICKNESS / 2)


def _xa(dataset: Dataset, radiograph: Radiograph, aim: np.ndarray) -> None:
    """A C-arm: counts, both angles, distances to the detector and to the isocentre."""
    _kind(dataset, XRayAngiographicImageStorage, "XA", ["ORIGINAL", "PRIMARY", "SINGLE PLANE"])
    _set_pixels(dataset, _counts(radiograph))
    dataset.PixelIntensityRelationship = "LIN"
    for empty in ("RadiationSetting", "XRayTubeCurrent", "ExposureTime", "Exposure"):
        setattr(dataset, empty, None)
    dataset.RadiationSetting = "GR"
    x, y, z = radiograph.projection.beam_direction
    dataset.PositionerPrimaryAngle = _decimal(np.degrees(np.arctan2(x, -y)))
    dataset.PositionerSecondaryAngle = _decimal(np.degrees(np.arcsin(np.clip(z, -1, 1))))
    _set_distances(dataset, radiograph.projection, aim, 0)


def _topogram(dataset: Dataset, radiograph: Radiograph, aim: np.ndarray) -> None:
    """The localizer of a CT: values that rise with attenuation, spacing and place in the plane through the isocentre."""
    _kind(dataset, CTImageStorage, "CT", ["ORIGINAL", "PRIMARY", "LOCALIZER"])
    _set_pixels(dataset, radiograph.line_integrals / _TOPOGRAM_STEP - 1024, signed=True)
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    dataset.FrameOfReferenceUID = generate_uid()
    for empty in ("PositionReferenceIndicator", "AcquisitionNumber", "SliceThickness"):
        setattr(dataset, empty, None)
    projection = radiograph.projection
    far, near = projection.source_to_detector or 1.0, _source_to(projection, aim)
    down, across = projection.spacing
    scale = near / far  # across the scan a pixel is so much smaller at the isocentre; along it nothing is magnified
    spacing = (down, across * scale) if projection.scan_axis == "column" else (down * scale, across)
    middle = aim - projection.centre
    on_axis = projection.centre + (middle @ projection.beam_direction) * projection.beam_direction
    half = [(n - 1) / 2 * s for n, s in zip(projection.size, spacing, strict=True)]
    corner = on_axis - half[1] * projection.row_direction - half[0] * projection.column_direction
    dataset.PixelSpacing = [_decimal(v) for v in spacing]
    dataset.ImagePositionPatient = [_decimal(v) for v in corner]
    dataset.ImageOrientationPatient = [_decimal(v) for v in (*projection.row_direction, *projection.column_direction)]
    dataset.PatientPosition = "HFS"
    dataset.DistanceSourceToDetector, dataset.DistanceSourceToPatient = _decimal(far), _decimal(near)
    del dataset.PatientOrientation


def _kind(dataset: Dataset, uid: UID, modality: str, image_type: list[str]) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid
    dataset.Modality, dataset.ImageType = modality, image_type


def _set_distances(dataset: Dataset, projection: Projection, aim: np.ndarray, behind: float) -> None:
    """``behind``: from the isocentre to where the device's distance to the patient ends, in mm."""
    dataset.DistanceSourceToDetector = _decimal(projection.source_to_detector or 0.0)
    dataset.DistanceSourceToPatient = _decimal(_source_to(projection, aim) + behind)
    dataset.ImagerPixelSpacing = [_decimal(v) for v in projection.spacing]


def _source_to(projection: Projection, aim: np.ndarray) -> float:
    source = projection.source
    assert source is not None  # write_as has looked
    return float((aim - source) @ projection.beam_direction)


def _view(radiograph: Radiograph) -> str:
    name = radiograph.name.upper()
    if name not in _VIEWS:
        raise InputError(f"There is no word for the view {radiograph.name!r} in this kind of file: use one of {', '.join(_VIEWS)}.")
    return _VIEWS[name]


def _coded(value: str, meaning: str) -> Sequence:
    """A sequence of one SNOMED CT code."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return Sequence([code])


def _decimal(value: float) -> DSfloat:
    return DSfloat(str(DSfloat(float(value), auto_format=True)))


_WRITERS: Mapping[str, Callable[[Dataset, Radiograph, np.ndarray], None]] = MappingProxyType(
    {"DX": _dx, "CR": _cr, "XA": _xa, "topogram": _topogram}
)
#: The words for devices.
DEVICES = (*_WRITERS, "PNG")
