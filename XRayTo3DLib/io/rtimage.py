"""Radiographs as DICOM: RT Image Storage, with the exact geometry beside the standard's own.

RT Image is the standard's object for a DRR: "DRR" is one of its image types, and it has attributes for the distances of
source and detector, for the angles of the beam and for where an off-centre detector stands, so other software can place
the picture. A secondary capture is a picture without geometry, whose scale of grey means nothing.

Of the standard's attributes, those of a cone beam follow from :mod:`XRayTo3DLib.geometry.iec`: any pose of a C-arm becomes angles
of gantry, couch and receptor about an isocentre, which is written where it is known and never made up. They are decimal text
of 16 characters, in the terms of a patient who lies supine, head first; they know no parallel or scanned beam (RT Image is
meant for a "conical imaging geometry": distances and position stay empty then, as unknown), nor the name and the notes of a
radiograph. So a private element holds all of this once more, as JSON with every digit (:meth:`Projection.to_dict`), and
:func:`XRayTo3DLib.io.radiographs.read_radiograph` takes it from there.

Patient, study and frame of reference are those of the images that a radiograph was made of, where the caller has read them
(:mod:`XRayTo3DLib.io.identity`), with references to these images; what is not known is empty, and the file says which UIDs
are new.

Pixels are 16 bit, and stored * RescaleSlope + RescaleIntercept is the line integral, to half a step of 1/65535 of the
picture's range. Sources: DICOM PS3.3 A.17 (RT Image), C.8.8.2 (its module), C.11.2 (window), C.12.2 and C.12.4
(references), PS3.5 7.8 (private data).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTImageStorage, generate_uid
from pydicom.valuerep import DSfloat

import XRayTo3DLib
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import parse_json, writing
from XRayTo3DLib.geometry.iec import BESIDE_MM, gantry_and_couch, to_iec
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike, vector
from XRayTo3DLib.images.display import clinical_window
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.io.dicom_orientation import letters_towards
from XRayTo3DLib.io.identity import KEYWORDS, why_not
from XRayTo3DLib.io.radiograph_images import Stored, known_words

if TYPE_CHECKING:
    from XRayTo3DLib.images.radiograph import Radiograph

#: The unit of the rescaled values, in RescaleType: line integrals, as DICOM has no word for them.
RESCALE_TYPE = "LN(I0/I)"
_CREATOR, _GROUP = "XRayTo3D", 0x0021
#: Number of the private element.
_TEXT = 1
_LEVELS = 65535
#: So near to the beam's axis, in mm, an isocentre is on it.
_SAME_MM = 1e-6
#: UIDs that a file must have, and what they stand for.
_REQUIRED = {"StudyInstanceUID": "study", "FrameOfReferenceUID": "frame of reference"}


def write_rtimage(
    radiograph: Radiograph,
    path: str | Path,
    isocentre: ArrayLike | None = None,
    identity: PatientStudy | None = None,
    study_uid: str | None = None,
    series_uid: str | None = None,
    frame_of_reference_uid: str | None = None,
    instance_number: int = 1,
) -> None:
    """Write one radiograph as a DICOM RT Image (see the module); the file appears whole or not at all.

    - ``isocentre``: LPS mm of the point the beam is aimed at. Without it the file states no isocentre and no distance from
      source to axis, because a projection does not know where its machine turns;
    - ``identity``: patient, study, frame of reference and sources of the images that the radiograph was made of, as
      :func:`XRayTo3DLib.read_patient_study` reads them; all that it holds is written. What it leaves empty stays empty, but
      for the UIDs that a file must have, which are new, as the file says;
    - ``study_uid``, ``series_uid``, ``frame_of_reference_uid``: those new ones; give the DRRs of one CT the same.

    A radiograph of unknown scale is stored as a digitized film (RADIOGRAPH) instead of a DRR. Pixels that are no measurement
    become padding. Raises :class:`InputError` for what DICOM does not take as a name, an identifier or a date, and for an
    isocentre behind the source or beside the beam's axis.
    """
    dataset = _dataset(radiograph, isocentre)
    _set_identity(
        dataset, identity or PatientStudy(), {"StudyInstanceUID": study_uid, "FrameOfReferenceUID": frame_of_reference_uid}
    )
    dataset.SeriesInstanceUID = _value("SeriesInstanceUID", series_uid or "") or generate_uid()
    dataset.InstanceNumber = instance_number
    now = datetime.now()
    for name in ("InstanceCreation", "Content"):
        setattr(dataset, f"{name}Date", now.strftime("%Y%m%d"))
        setattr(dataset, f"{name}Time", now.strftime("%H%M%S"))
    with writing(path) as temporary:
        pydicom.dcmwrite(temporary, dataset, enforce_file_format=True)


def stored_in_rtimage(dataset: Dataset, geometry: bool = True, name: str = "The RT image") -> Stored | None:
    """What :func:`write_rtimage` put into a file's header beside the standard's attributes; ``None`` for any other header.

    ``geometry`` asks for the projection too. Raises :class:`InputError` for a geometry that is damaged.
    """
    try:
        block = dataset.private_block(_GROUP, _CREATOR)
    except KeyError:
        return None
    try:
        text = block[_TEXT].value
        about = parse_json(text.rstrip(b"\0 ") if isinstance(text, bytes) else text, name)
        projection = Projection.from_dict(about["projection"]) if geometry else None
        if projection is not None and projection.size != (int(dataset.Rows), int(dataset.Columns)):
            raise ValueError(f"it is one of {projection.size[0]} x {projection.size[1]} pixels")
        return Stored(projection, str(about["name"]), known_words(about["unknown"]), tuple(map(str, about["notes"])))
    except (KeyError, ValueError, TypeError, IndexError, RecursionError) as error:
        if not geometry:
            return None
        raise InputError(f"{name} has a damaged geometry ({error}): give view, spacing and distances.") from None


def _dataset(radiograph: Radiograph, isocentre: ArrayLike | None) -> Dataset:
    """Everything of the file but patient, study and dates."""
    projection, made = radiograph.projection, f"XRayTo3D {XRayTo3DLib.__version__}"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = RTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for empty in (*("SeriesNumber", "OperatorsName", "RadiationMachineName", "PrimaryDosimeterUnit"),):
        setattr(dataset, empty, None)
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "RTIMAGE", "XRayTo3D", "XRayTo3D"
    dataset.SoftwareVersions = XRayTo3DLib.__version__
    dataset.SeriesDescription = "DRR, not for diagnosis" if radiograph.calibrated else "X-ray, not for diagnosis"
    dataset.ImageType = ["DERIVED", "SECONDARY", "DRR" if radiograph.calibrated else "RADIOGRAPH"]
    dataset.ConversionType = "WSD" if radiograph.calibrated else "DF"
    what = "Digitally reconstructed radiograph: line integrals" if radiograph.calibrated else "X-ray of unknown scale"
    dataset.DerivationDescription = f"{what}, by {made}. Research use only, not for diagnosis."
    dataset.BurnedInAnnotation = "NO"
    dataset.RTImageLabel = _cut(radiograph.name or "DRR", 16)
    dataset.RTImageName = _cut(radiograph.name or "DRR", 64)
    dataset.RTImageDescription = _cut(" ".join(radiograph.notes), 1024)
    _set_pixels(dataset, radiograph)
    _set_geometry(dataset, projection, isocentre)
    block = dataset.private_block(_GROUP, _CREATOR, create=True)
    about = {"name": radiograph.name, "unknown": list(radiograph.unknown), "notes": list(radiograph.notes)}
    block.add_new(_TEXT, "UT", json.dumps(about | {"projection": projection.to_dict()}))
    return dataset


def _set_identity(dataset: Dataset, identity: PatientStudy, new: Mapping[str, str | None]) -> None:
    """Patient, study, frame of reference and the images that this one was made of; ``new`` UIDs where it names none."""
    for field, keyword in KEYWORDS.items():
        if field != "series_uid":
            setattr(dataset, keyword, _value(keyword, getattr(identity, field)) or None)
    if not identity.study_description:
        del dataset.StudyDescription
    missing = [keyword for keyword in _REQUIRED if not dataset[keyword].value]
    for keyword in missing:
        setattr(dataset, keyword, _value(keyword, new[keyword] or "") or generate_uid())
    if missing:
        dataset.DerivationDescription += f" No {' or '.join(_REQUIRED[k] for k in missing)} was known: its UID is new."
    items = []
    for class_uid, instance_uid in identity.sources:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
        items.append(item)
    if not items:
        return
    dataset.SourceImageSequence = items
    if identity.series_uid and identity.study_uid:  # PS3.3 C.12.2: what lies in the same study is named by series
        series = Dataset()
        series.SeriesInstanceUID, series.ReferencedInstanceSequence = identity.series_uid, deepcopy(items)
        dataset.ReferencedSeriesSequence = [series]


def _set_pixels(dataset: Dataset, radiograph: Radiograph) -> None:
    """Stored values, their scale and the window, which is that of the clinical look."""
    values = radiograph.line_integrals.astype(np.float64)
    valid = radiograph.valid
    counted = values if valid is None else values[valid]
    black, white = clinical_window(counted)  # refuses NaN and infinity
    levels = _LEVELS - (valid is not None)  # the lowest is padding where there is some
    low = _decimal(float(counted.min()))
    # Text of 16 characters may round: a step that is a little larger still reaches the brightest pixel.
    slope = _decimal(max((float(counted.max()) - low) / levels * (1 + 1e-9), 1e-12))
    intercept = low if valid is None else _decimal(low - slope)
    stored = np.clip(np.rint((values - intercept) / slope), _LEVELS - levels, _LEVELS).astype("<u2")
    if valid is not None:
        stored[~valid] = 0
        dataset.PixelPaddingValue = 0
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleIntercept, dataset.RescaleSlope = intercept, slope
    dataset.RescaleType = RESCALE_TYPE if radiograph.calibrated else "US"
    # High values are those of little beam.
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1
    # The plain linear window is made for whole numbers: it is shifted by a half, and one wide at least.
    dataset.VOILUTFunction = "LINEAR_EXACT"
    dataset.WindowCenter, dataset.WindowWidth = _decimal((black + white) / 2), _decimal(white - black)
    dataset.PixelData = stored.tobytes()


def _set_geometry(dataset: Dataset, projection: Projection, isocentre: ArrayLike | None) -> None:
    """The standard's attributes of the geometry, as far as they can be true."""
    dataset.PatientOrientation = [letters_towards(projection.row_direction), letters_towards(projection.column_direction)]
    dataset.ImagePlanePixelSpacing = [_decimal(v) for v in projection.spacing]
    if not projection.is_cone:
        normal = abs(projection.normal @ projection.beam_direction) > 1 - 1e-9
        dataset.RTImagePlane = "NORMAL" if normal else "NON_NORMAL"
        if not normal:
            dataset.RTImageOrientation = None
        gantry, couch = gantry_and_couch(-projection.beam_direction)
        for unknown in ("XRayImageReceptorAngle", "RTImagePosition", "RadiationMachineSAD", "RTImageSID"):
            setattr(dataset, unknown, None)
    else:
        pose = to_iec(projection, isocentre)
        gantry, couch = pose.gantry, pose.couch
        dataset.RTImagePlane = "NORMAL"
        dataset.XRayImageReceptorAngle = _decimal(pose.receptor)
        dataset.RTImageOrientation = [*map(_decimal, pose.row), 0, *map(_decimal, pose.column), 0]
        dataset.RTImagePosition = [_decimal(v) for v in pose.position]
        dataset.RTImageSID = _decimal(pose.source_to_image)
        dataset.RadiationMachineSAD = None
        if isocentre is not None:
            beside = float(np.linalg.norm(np.subtract(pose.isocentre, vector(isocentre, "isocentre"))))
            if beside > BESIDE_MM:
                raise InputError(
                    f"The isocentre lies {beside:.3g} mm beside the beam's axis: give the point that the beam is aimed at, or none."
                )
            dataset.RadiationMachineSAD = _decimal(pose.source_to_axis)
            point = isocentre if beside < _SAME_MM else pose.isocentre  # without the rounding of the way there and back
            dataset.IsocenterPosition, dataset.PatientPosition = [_decimal(v) for v in point], "HFS"
            dataset.XRayImageReceptorTranslation = [0, 0, _decimal(pose.source_to_axis - pose.source_to_image)]
    dataset.GantryAngle, dataset.PatientSupportAngle = _decimal(gantry), _decimal(couch)


def _decimal(value: float) -> DSfloat:
    """A number as DICOM's decimal text writes it: it equals what will be read."""
    return DSfloat(str(DSfloat(float(value), auto_format=True)))


def _cut(text: str, length: int) -> str:
    """Text as DICOM takes it: without line ends and backslashes, and at most ``length`` bytes."""
    clean = "".join(c if c.isprintable() and c != "\\" else " " for c in text)
    return clean.encode()[:length].decode(errors="ignore").strip()


def _value(keyword: str, text: str) -> str:
    """A text that DICOM takes as the value of an element; :class:`InputError` for any other."""
    reason = why_not(keyword, text.strip())
    if reason:
        raise InputError(f"The {keyword} {text[:64]!r} cannot stand in DICOM ({reason}): correct it or leave it out.")
    return text.strip()
