"""Scanned beams in DICOM: CT localizers (topograms, scouts, surviews) and X-rays of slot scanners.

A localizer is placed by ImagePositionPatient and ImageOrientationPatient like any CT image (PS3.3 C.7.6.2). Its PixelSpacing
holds in the plane through the data collection centre, the isocentre (note in Table C.7.6.16-2), which is where the picture stands
here too; along the table nothing is magnified. On which of the picture's two sides the tube stood is told by
a view that is named, by TubeAngle (C.8.15.3.3) with PatientPosition, or by a word of the series' description; else the picture is
taken to be seen from the tube, and says so.

A slot scanner says DetectorConfiguration (0018,7005) SLOT in the DX Detector Module (C.8.11.4): source and slot travel together
along the patient. Its distances and spacings are those of any other DX image, at the detector.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import views
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike, unit, vector
from XRayTo3DLib.io.dicom_geometry import UNKNOWN, KnownGeometry, Placement, projection_from_dicom
from XRayTo3DLib.io.dicom_headers import length, number, numbers, word
from XRayTo3DLib.io.dicom_kinds import is_localizer
from XRayTo3DLib.io.dicom_orientation import image_plane

#: Distances of source to isocentre and to detector in mm, by a word of the manufacturer's name, for headers without them.
_SCANNERS = {
    "SIEMENS": (595.0, 1085.6),
    "GE": (541.0, 949.1),
    "PHILIPS": (570.0, 1040.0),
    "TOSHIBA": (600.0, 1072.0),
    "CANON": (600.0, 1072.0),
}
#: Source to detector and to the middle of the patient in a slot scanner (EOS), in mm.
_SLOT = (1300.0, 987.0)
#: Makers whose every X-ray is taken by a travelling slot, whether the header has DetectorConfiguration or not.
_SLOT_MAKERS = ("EOS IMAGING", "BIOSPACE MED")
#: The tube of a CT stands at least and at most so far from the isocentre, in mm.
_NEAREST, _FARTHEST = 300.0, 1000.0
#: A named view agrees with a picture's plane below this angle; a picture lies along the patient below _ALONG.
_MIX_UP_DEGREES, _ALONG_DEGREES = 30.0, 30.0
#: The side of the patient (LPS) that lies on top, by how PatientPosition ends: supine, prone, on the right, on the left.
_TOP = {"S": (0.0, -1.0, 0.0), "P": (0.0, 1.0, 0.0), "DR": (1.0, 0.0, 0.0), "DL": (-1.0, 0.0, 0.0)}
#: Words of series' descriptions for views.
_SAID = {"AP": "AP", "PA": "PA", "LAT": "LAT", "LATERAL": "LAT", "LL": "LLAT", "RL": "RLAT"}


def is_slot_scan(tags: Dataset) -> bool:
    """Whether a header is that of an X-ray whose source and detector travelled: DetectorConfiguration SLOT, or its maker."""
    maker = word(tags, "Manufacturer").upper()
    is_xray = word(tags, "Modality") in ("DX", "CR", "DR", "RG")
    return word(tags, "DetectorConfiguration") == "SLOT" or (is_xray and any(name in maker for name in _SLOT_MAKERS))


def placed_by_dicom(
    tags: Dataset, size: tuple[int, int], known: KnownGeometry = UNKNOWN, name: str = "The radiograph"
) -> Placement:
    """:func:`projection_from_dicom` for every kind of beam, which is that of the tags unless it is known."""
    if is_localizer(tags) and known.beam in (None, "scanned"):
        found = _localizer(tags, size, known, name)
        if known.source_to_detector is not None:
            said = "The source-to-detector distance changes nothing: the picture of a CT localizer is measured in the isocentre."
            found = replace(found, notes=(*found.notes, said))
        return found
    notes: tuple[str, ...] = ()
    slot = known.beam == "scanned" or (known.beam is None and is_slot_scan(tags))
    if slot and known.source_to_detector is None and length(tags, "DistanceSourceToDetector") is None:
        is_slot = is_slot_scan(tags)
        detector, usual = _SLOT if is_slot else (views.SCANNER_SOURCE_TO_DETECTOR, views.SCANNER_SOURCE_TO_ISOCENTRE)
        notes = (f"The source-to-detector distance is unknown: {detector:g} mm is assumed, that of a {_kind(is_slot)}.",)
        known = replace(known, source_to_detector=detector)
        if known.source_to_isocentre is None and length(tags, "DistanceSourceToPatient") is None:
            known = replace(known, source_to_isocentre=usual)
            notes = (*notes, f"The source-to-isocentre distance is unknown: {usual:g} mm is assumed.")
    found = projection_from_dicom(tags, size, known, name)
    if not slot:
        return found
    return _travelling(replace(found, notes=(*found.notes, *notes)), tags, known.spacing is None)


def _kind(is_slot: bool) -> str:
    return "slot scanner" if is_slot else "CT's topogram"


def _travelling(found: Placement, tags: Dataset, own_spacing: bool) -> Placement:
    """A placement of a beam that stands still, as that of one which travels along the patient."""
    projection = found.projection
    axis = _scan_axis(projection.row_direction, projection.column_direction)
    calibrated = numbers(tags, "PixelSpacing")
    if own_spacing and len(calibrated) == 2 and min(calibrated) > 0 and not numbers(tags, "ImagerPixelSpacing"):
        # One that is calibrated in the patient was magnified to the detector, but along the scan nothing is.
        down, across = projection.spacing
        projection = projection.resampled(projection.size, (calibrated[0], across) if axis == "column" else (down, calibrated[1]))
    why = "DetectorConfiguration is SLOT" if word(tags, "DetectorConfiguration") == "SLOT" else "it is taken by a scanned slot"
    lines = "rows" if axis == "column" else "columns"
    note = (
        f"The picture is read as scanned ({why}): source and detector travel along the patient, so that its {lines} are not "
        "magnified in that direction."
    )
    return Placement(replace(projection, scan_axis=axis), found.view, (*found.notes, note))


def _scan_axis(row: np.ndarray, column: np.ndarray) -> str:
    """The axis of the picture that runs along the patient."""
    return "column" if abs(column[2]) >= abs(row[2]) else "row"


def _localizer(tags: Dataset, size: tuple[int, int], known: KnownGeometry, name: str) -> Placement:
    view, isocentre = known.view, known.isocentre
    notes: list[str] = []
    pixel = _spacing_at_isocentre(tags, known.spacing, name)
    distance = _source_to_isocentre(tags, known.source_to_isocentre, notes)
    plane = image_plane(tags)
    if plane is None:
        return _unplaced(size, view, pixel, distance, isocentre, notes, name)
    axis = _scan_axis(plane.row, plane.column)
    if abs((plane.column if axis == "column" else plane.row)[2]) < np.cos(np.radians(_ALONG_DEGREES)):
        text = " ".join(f"{v:g}" for v in (*plane.row, *plane.column))
        raise InputError(
            f"{name} is a CT localizer whose ImageOrientationPatient ({text}) does not run along the table: it is a slice, or its "
            "header is wrong; choose the localizer, or export it again."
        )
    direction, title = _beam(tags, plane.normal, view, notes, name)
    to_middle = (size[1] - 1) / 2 * pixel[1] * plane.row + (size[0] - 1) / 2 * pixel[0] * plane.column
    told: ArrayLike = numbers(tags, "DataCollectionCenterPatient") if isocentre is None else isocentre
    centre = vector(told, "isocentre") if isocentre is not None or len(told) == 3 else None
    position = plane.position
    if position is None:
        notes.append("The localizer has no ImagePositionPatient: its middle is put into the isocentre.")
        position = (np.zeros(3) if centre is None else centre) - to_middle
    if centre is None:
        notes.append("The central ray is taken to pass the middle of the picture, and the picture to stand in the isocentre.")
        centre = position + to_middle
    # The pixel spacing holds in the isocentre: there the picture stands.
    position = position + float((centre - position) @ plane.normal) * plane.normal
    projection = Projection(position, plane.row, plane.column, pixel, size, centre - distance * direction, scan_axis=axis)
    notes.append(
        "The picture is read as a CT localizer: scanned along the table, and placed in the patient as its ImageOrientationPatient "
        "says."
    )
    return Placement(projection, title, tuple(notes))


def _spacing_at_isocentre(tags: Dataset, given: float | tuple[float, float] | None, name: str) -> tuple[float, float]:
    if given is not None:
        down, across = np.broadcast_to(np.asarray(given, dtype=np.float64), 2)
        return float(down), float(across)
    found = numbers(tags, "PixelSpacing")
    if len(found) != 2 or min(found) <= 0:
        raise InputError(f"{name} is a CT localizer without a PixelSpacing: give the spacing in mm per pixel in the isocentre.")
    return found[0], found[1]


def _source_to_isocentre(tags: Dataset, given: float | None, notes: list[str]) -> float:
    if given is not None:
        if not 0 < given < np.inf:
            raise InputError(f"The source-to-isocentre distance {given!r} must be a positive number in mm: correct it.")
        return float(given)
    for key in ("DistanceSourceToDataCollectionCenter", "DistanceSourceToIsocenter", "DistanceSourceToPatient"):
        found = length(tags, key)
        if found is not None and _NEAREST <= found <= _FARTHEST:
            return found
        if found is not None:
            notes.append(f"The {key} of {found:g} mm is not that of a CT's tube, and is not used.")
    maker = re.split(r"[^A-Z]+", word(tags, "Manufacturer").upper())
    known = next((distances for own, distances in _SCANNERS.items() if own in maker), None)
    distance, detector = known or (views.SCANNER_SOURCE_TO_ISOCENTRE, views.SCANNER_SOURCE_TO_DETECTOR)
    whose = f"of scanners by {word(tags, 'Manufacturer')}" if known else "of usual scanners"
    notes.append(
        f"The source-to-isocentre distance is unknown: {distance:g} mm is assumed, that {whose} ({detector:g} mm to the detector)."
    )
    return distance


def _beam(tags: Dataset, normal: np.ndarray, view: str | ArrayLike | None, notes: list[str], name: str) -> tuple[np.ndarray, str]:
    """Which way along the picture's normal the rays ran, and the view's word."""
    if view is not None:
        asked = views.parse_view(view)[0] if isinstance(view, str) else unit(view, "beam axis")
        cosine = float(asked @ normal)
        if abs(cosine) < np.cos(np.radians(_MIX_UP_DEGREES)):
            angle = float(np.degrees(np.arccos(min(1.0, abs(cosine)))))
            raise InputError(
                f"{name} is called {view}, but its ImageOrientationPatient shows {view_word(normal)}, {angle:.0f} degrees "
                "elsewhere: choose the right file or leave the view out."
            )
        direction = normal if cosine > 0 else -normal
        title = view if isinstance(view, str) else view_word(direction)
        if abs(cosine) < np.cos(np.radians(1.0)):
            notes.append(f"The view {title} was given; the beam runs across the picture's plane, {view_word(direction)}.")
        return direction, title
    told = _of_tube_angle(tags)
    if told is not None and abs(float(told @ normal)) > np.cos(np.radians(_MIX_UP_DEGREES)):
        direction = normal if float(told @ normal) > 0 else -normal
        return direction, view_word(direction)
    for key in ("SeriesDescription", "ProtocolName", "AcquisitionProtocolDescription", "ImageComments"):
        for token in re.findall(r"[A-Za-z]+", word(tags, key)):
            if token.upper() in _SAID:
                cosine = float(views.parse_view(_SAID[token.upper()])[0] @ normal)
                if cosine > np.cos(np.radians(_MIX_UP_DEGREES)) or (
                    cosine < -np.cos(np.radians(_MIX_UP_DEGREES)) and token.upper() in ("AP", "PA", "LL", "RL")
                ):
                    direction = normal if cosine > 0 else -normal
                    notes.append(f"The tube stands where the {key} says: {token}.")
                    return direction, view_word(direction)
    notes.append(
        f"The file does not say on which side the tube stood: the picture is taken to be seen from it ({view_word(normal)})."
    )
    return normal, view_word(normal)


def _of_tube_angle(tags: Dataset) -> np.ndarray | None:
    """The beam (LPS) of a tube that stood still at TubeAngle: degrees clockwise from the top, seen from where the table enters."""
    lies, angle = word(tags, "PatientPosition"), number(tags, "TubeAngle")
    top = _TOP.get(lies[2:])
    if angle is None or top is None or lies[:2] not in ("HF", "FF"):
        return None
    into = np.array([0.0, 0.0, 1.0 if lies.startswith("HF") else -1.0])
    turn = np.radians(angle)
    return -(np.cos(turn) * np.array(top) + np.sin(turn) * np.cross(into, top))


def view_word(direction: ArrayLike) -> str:
    """The word for the view of a beam (LPS, tube to detector): AP, PA or a lateral, turned by whole degrees where it is."""
    axis = np.asarray(direction, dtype=np.float64)
    base = max(("AP", "PA", "LLAT", "RLAT"), key=lambda word: float(views.parse_view(word)[0] @ axis))
    start = views.parse_view(base)[0]
    # A positive turn goes from AP (+y) towards the left lateral beam (+x): against the sense of a turn about +z.
    turn = round(float(np.degrees(np.arctan2(start[1] * axis[0] - start[0] * axis[1], start[0] * axis[0] + start[1] * axis[1]))))
    return f"{base}{turn:+d}" if turn else base


def _unplaced(
    size: tuple[int, int],
    view: str | ArrayLike | None,
    pixel: tuple[float, float],
    distance: float,
    isocentre: ArrayLike | None,
    notes: Sequence[str],
    name: str,
) -> Placement:
    """A localizer that does not say where it lies: upright, as its view hangs."""
    if view is None:
        raise InputError(f"{name} is a CT localizer that has lost its ImageOrientationPatient: name its view, as AP.")
    where = (0.0, 0.0, 0.0) if isocentre is None else isocentre
    projection = views.view_projection(view, where, size, pixel, distance, distance, scan_axis="column")
    title = view if isinstance(view, str) else view_word(projection.beam_direction)
    lost = "The localizer does not say where in the patient it lies: its middle is put into the isocentre, head up."
    return Placement(projection, title, (*notes, lost))
