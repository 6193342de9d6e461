"""How large a pixel is on the detector, and how far away tube, patient and detector are, by what each kind of file means.

The same tag means different things: DistanceSourceToPatient ends at the isocentre of an angiography system (PS3.3 C.8.7.5) and
in the middle of the field of fluoroscopy (C.8.7.6), but at the side of the table or the bucky that is nearest to the patient
for CR and DX (C.8.11.5). Pixel spacings are at the detector, or calibrated for some depth in the patient (10.7.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import views
from XRayTo3DLib.io.dicom_headers import length, numbers, word

#: Half of a body in mm, from the table to its middle, where the file does not say how thick it is.
HALF_A_BODY = 120.0
#: No table or bucky has its detector further behind its side than this, in mm.
_DEEPEST_BUCKY = 150.0
#: Spacings that differ by less than this fraction are the same.
_SAME = 1e-3
_ISOCENTRIC = ("XA", "RF", "RTIMAGE")


@dataclass(frozen=True)
class Distances:
    """Millimetres from the source to the detector and to the isocentre, and to the object that a spacing is calibrated for."""

    detector: float
    isocentre: float
    object: float


def distances(tags: Dataset, detector: float | None, isocentre: float | None, notes: list[str], name: str) -> Distances:
    """The distances of a cone beam; what is given wins over the tags, and what is assumed is added to ``notes``.

    Raises :class:`InputError` when the tags put the patient behind the detector.
    """
    told, patient = _told_detector(tags), _told_patient(tags)
    modality = word(tags, "Modality")
    if detector is None and isocentre is None and told and patient and patient > told * (1 + _SAME) and modality != "RTIMAGE":
        raise InputError(
            f"{name} says that the source is {told:g} mm from the detector but {patient:g} mm from the patient: correct its "
            "header, or give both distances."
        )
    if detector is None and told is None:
        notes.append(f"The source-to-detector distance is unknown: {views.DEFAULT_SOURCE_TO_DETECTOR:g} mm is assumed.")
    distance = detector or told or views.DEFAULT_SOURCE_TO_DETECTOR
    magnification = length(tags, "EstimatedRadiographicMagnificationFactor")
    magnification = magnification if magnification is not None and magnification >= 1 else None
    to_object = patient
    if magnification is not None and (patient is None or abs(distance / patient / magnification - 1) > 0.01):
        to_object = distance / magnification
    calibrated = _calibration(tags)
    own = _at_detector(tags)
    if to_object is None and calibrated is not None and own is not None and calibrated[0][0] < own[0]:
        to_object = distance * calibrated[0][0] / own[0]
        notes.append(f"The patient is taken to be where the pixel spacing is calibrated, {to_object:.4g} mm from the source.")
    if isocentre is not None:
        return Distances(distance, isocentre, isocentre)
    if to_object is None:
        to_object = views.DEFAULT_SOURCE_TO_ISOCENTRE / views.DEFAULT_SOURCE_TO_DETECTOR * distance
        notes.append(f"The source-to-isocentre distance is unknown: {to_object:g} mm is assumed.")
        return Distances(distance, to_object, to_object)
    if to_object != patient or modality in (*_ISOCENTRIC, "") or length(tags, "DistanceSourceToIsocenter"):
        return Distances(distance, to_object, to_object)
    if distance - to_object > _DEEPEST_BUCKY:
        notes.append(
            f"DistanceSourceToPatient ({to_object:g} mm) leaves {distance - to_object:g} mm to the detector, more than any table "
            "or bucky: it is taken to end in the middle of the patient."
        )
        return Distances(distance, to_object, to_object)
    thickness = length(tags, "BodyPartThickness")
    half = HALF_A_BODY if thickness is None else thickness / 2
    if not to_object - half > 0:
        half = 0.0
    why = "half of its BodyPartThickness" if thickness is not None else "half a body, assumed,"
    notes.append(
        f"DistanceSourceToPatient ({to_object:g} mm) ends at the table or bucky: the middle of the patient is taken to be "
        f"{half:g} mm ({why}) nearer to the source."
    )
    return Distances(distance, to_object - half, to_object)


def detector_spacing(tags: Dataset, far: Distances | None, notes: list[str], name: str) -> tuple[float, float]:
    """Millimetres between rows and between columns at the detector, from the tags.

    ``far`` are the distances, ``None`` for a parallel beam, which magnifies nothing. Raises :class:`InputError` without a spacing.
    """
    own, calibrated = _at_detector(tags), _calibration(tags)
    if own is not None:
        _check_aspect(tags, own, notes)
        return own
    if calibrated is not None and far is not None:
        spacing, kind = calibrated
        factor = far.detector / far.object
        found = spacing[0] * factor, spacing[1] * factor
        notes.append(
            f"The pixel spacing {spacing[0]:g} x {spacing[1]:g} mm is calibrated ({kind}) for the depth of the patient: "
            f"{found[0]:.4g} x {found[1]:.4g} mm at the detector."
        )
        return found
    for key in ("NominalScannedPixelSpacing", "PixelSpacing"):
        spacing_told = _pair(tags, key)
        if spacing_told is not None:
            notes.append(f"The pixel spacing {spacing_told[0]:g} x {spacing_told[1]:g} mm is taken to be that at the detector.")
            _check_aspect(tags, spacing_told, notes)
            return spacing_told
    ratio = aspect_ratio(tags)
    shape = f" and pixels of {ratio:g}:1 (PixelAspectRatio, height to width)" if ratio is not None else ""
    two = "two numbers in mm, between rows and between columns," if ratio is not None else "the spacing in mm per pixel"
    raise InputError(f"{name} has no known pixel spacing{shape}: give {two} at the detector.")


def given_spacing(tags: Dataset, spacing: float | tuple[float, float], notes: list[str], name: str) -> float | tuple[float, float]:
    """A spacing that the user gave, unless it is one number for pixels that are said not to be square."""
    ratio = aspect_ratio(tags)
    if ratio is None or _at_detector(tags) is not None:
        return spacing
    try:
        down, across = spacing  # type: ignore[misc]
    except TypeError:
        raise InputError(
            f"{name} has pixels of {ratio:g}:1 (PixelAspectRatio, height to width): one number cannot be right, give two in mm, "
            "between rows and between columns."
        ) from None
    _check_aspect(tags, (float(down), float(across)), notes)
    return spacing


def aspect_ratio(tags: Dataset) -> float | None:
    """Height of a pixel over its width, where it is told and not 1."""
    told = _pair(tags, "PixelAspectRatio")
    return told[0] / told[1] if told is not None and abs(told[0] / told[1] - 1) > _SAME else None


def _check_aspect(tags: Dataset, spacing: tuple[float, float], notes: list[str]) -> None:
    ratio = aspect_ratio(tags)
    if ratio is not None and abs(spacing[0] / spacing[1] / ratio - 1) > 0.01:
        notes.append(f"The pixel spacing {spacing[0]:g} x {spacing[1]:g} mm is used, although PixelAspectRatio is {ratio:g}:1.")


def _pair(tags: Dataset, keyword: str) -> tuple[float, float] | None:
    values = numbers(tags, keyword)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _at_detector(tags: Dataset) -> tuple[float, float] | None:
    plane = _pair(tags, "ImagePlanePixelSpacing")
    return plane if plane is not None else _pair(tags, "ImagerPixelSpacing")


def _calibration(tags: Dataset) -> tuple[tuple[float, float], str] | None:
    """A spacing at some depth in the patient, and how it was found."""
    told = _pair(tags, "PixelSpacing")
    if told is None:
        return None
    kind = word(tags, "PixelSpacingCalibrationType")
    if kind in ("GEOMETRY", "FIDUCIAL"):
        return told, kind
    own = _at_detector(tags)
    return (told, "no type") if own is not None and abs(told[0] / own[0] - 1) > _SAME else None


def _told_detector(tags: Dataset) -> float | None:
    told = length(tags, "RTImageSID") or length(tags, "DistanceSourceToDetector")
    axis, shift = length(tags, "RadiationMachineSAD"), numbers(tags, "XRayImageReceptorTranslation")
    if told is None and axis is not None and len(shift) == 3 and axis - shift[2] > 0:
        return axis - shift[2]
    return told


def _told_patient(tags: Dataset) -> float | None:
    told = (
        length(tags, "RadiationMachineSAD") or length(tags, "DistanceSourceToIsocenter") or length(tags, "DistanceSourceToPatient")
    )
    plane, shift = length(tags, "RTImageSID"), numbers(tags, "XRayImageReceptorTranslation")
    if told is None and plane is not None and len(shift) == 3 and plane + shift[2] > 0:
        return plane + shift[2]
    return told
