"""Radiographs: line integrals on a detector, read from DICOM or pictures, and written with their geometry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import readable_file, writing
from XRayTo3DLib.geometry import views
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike, vector
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph
from XRayTo3DLib.io.dicom_frames import chosen_frame, frame_count, frame_tags
from XRayTo3DLib.io.dicom_geometry import Placement, projection_from_dicom
from XRayTo3DLib.io.dicom_headers import number, read_header, word, words
from XRayTo3DLib.io.dicom_kinds import check_is_xray
from XRayTo3DLib.io.pictures import write_picture
from XRayTo3DLib.io.radiograph_images import known_words, radiograph_to_image, stored_in_image
from XRayTo3DLib.io.rtimage import RESCALE_TYPE, stored_in_rtimage, write_rtimage
from XRayTo3DLib.io.volumes import read_image

#: What the values of a file can be; "auto" decides by the file.
KINDS = ("auto", "line_integral", "intensity", "inverted")

#: The line integral that white stands for in a picture of unknown scale (black is 0): about that of 26 cm of water.
PICTURE_WHITE = 5.0

#: Further apart than this, a stored geometry and the view named by the user are a mix-up.
_MIX_UP_DEGREES = 30.0

_PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")


def read_radiograph(
    path: str | Path,
    view: str | ArrayLike | None = None,
    spacing: float | tuple[float, float] | None = None,
    source_to_detector: float | None = None,
    source_to_isocentre: float | None = None,
    kind: str = "auto",
    isocentre: ArrayLike | None = None,
    parallel: bool = False,
    frame: int | None = None,
) -> Radiograph:
    """One X-ray from a DICOM file (CR, DX, XA, RTIMAGE, secondary capture), a picture, or NRRD, MetaImage or NIfTI.

    - ``view``: a word of :data:`views.VIEW_WORDS` or a beam axis (LPS); ``None`` takes it from the file;
    - ``spacing``: mm at the detector, one number or (between rows, between columns); pictures need it;
    - ``source_to_detector``, ``source_to_isocentre``: mm; ``parallel`` for a parallel beam instead;
    - ``isocentre``: LPS mm of the point the beam is aimed at (the origin, where the file does not say either);
    - ``kind``: what the values are. ``"line_integral"``: taken as they are. ``"intensity"``: ``-ln(I / I0)``, where I0
      is 1 for fractions (floats up to 1) and else the brightest value. ``"inverted"``: a picture with dark bone (of
      DICOM: the opposite of what its tags say). ``"auto"``: floats in NRRD, MetaImage and NIfTI, and RT images of
      :func:`write_radiograph`, are line integrals; DICOM whose pixels are proportional to the beam, and not processed, is
      intensity; anything else is a picture;
    - ``frame``: which one of a file that holds several, counted from 1.

    What is given wins over the file's tags, and those over defaults; an RT image may name its own isocentre. A file of
    :func:`write_radiograph` brings its exact geometry, which is used unless spacing, distances or ``parallel`` are given; an
    ``isocentre`` shifts it across its beam.
    A picture becomes line integrals from 0 (darkest) to :data:`PICTURE_WHITE` (brightest), bone bright, and is not
    ``calibrated``; grey stored as colour is accepted.

    Raises :class:`InputError` for anything else: not an image, several frames and none named, no X-ray (mammograms, teeth,
    ultrasound, ...), colour, NaN, a constant picture, unknown
    spacing, an unknown view, or a view that contradicts the stored geometry.
    """
    if kind not in KINDS:
        raise InputError(f"The kind of values {kind!r} is not known: use one of {', '.join(KINDS)}.")
    readable_file(path, "X-ray")
    image = read_image(path)
    header = read_header(path)
    notes: list[str] = []
    told = 1
    if header is not None:
        notes += check_is_xray(header, str(path))
        told = frame_count(header)
    chosen = chosen_frame(max(told, int(np.prod(image.GetSize()[2:], dtype=int))), frame, str(path))
    if header is not None:
        header = frame_tags(header, chosen, notes)
    pixels = _pixels(image, chosen, str(path))
    explicit = parallel or any(value is not None for value in (spacing, source_to_detector, source_to_isocentre))
    stored = None
    if header is None:
        stored = stored_in_image(image, not explicit, str(path))
    elif word(header, "Modality") == "RTIMAGE":
        stored = stored_in_rtimage(header, not explicit, str(path))
    if stored is not None and stored.projection is not None:
        placement = _named(_aimed(stored.projection, isocentre), stored.name, view, str(path))
    else:
        if spacing is None and header is None and Path(path).suffix.lower() not in _PICTURES:
            spacing = image.GetSpacing()[1], image.GetSpacing()[0]
        placement = projection_from_dicom(
            header or Dataset(),
            pixels.shape,
            view,
            spacing,
            source_to_detector,
            source_to_isocentre,
            isocentre,
            parallel,
            str(path),
        )
    if stored is not None and kind == "auto":
        kind = "line_integral"
    is_float = image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64)
    line_integrals, unknown, told_of_values = _line_integrals(pixels, is_float, header, kind, str(path))
    notes += [*placement.notes, *(() if stored is None else stored.notes), *told_of_values]
    if stored is not None:
        unknown = known_words((*unknown, *stored.unknown))
    return Radiograph(line_integrals, placement.projection, placement.view, unknown, tuple(notes))


def write_radiograph(
    radiograph: Radiograph, path: str | Path, isocentre: ArrayLike | None = None, identity: PatientStudy | None = None
) -> None:
    """Write a radiograph as the ending of ``path`` says; the file appears whole or not at all.

    - .nrrd, .mha: float32 and everything else, exactly. The image is one slice that stands where the detector is (LPS mm),
      so that Slicer shows it there; source or ray direction, name and notes are in its metadata;
    - .nii, .nii.gz: the same to 1e-3 mm, because NIfTI has a header in single precision; without notes, and with at most 23
      bytes of the name;
    - .dcm: DICOM RT Image with 16 bits and the exact geometry (see :func:`XRayTo3DLib.write_rtimage`); ``isocentre`` (LPS
      mm) and ``identity``, which only DICOM asks for, are the point the beam is aimed at and whose picture it is;
    - .png: 16 bits for the eye, in the clinical look; geometry and scale are lost. For other looks there is
      :func:`XRayTo3DLib.io.pictures.write_picture`.

    Raises :class:`InputError` for another ending.
    """
    name = Path(path).name.lower()
    if name.endswith(".png"):
        write_picture(radiograph, path, "clinical")
    elif name.endswith(".dcm"):
        write_rtimage(radiograph, path, isocentre, identity)
    elif name.endswith((".nrrd", ".mha", ".nii", ".nii.gz")):
        image = radiograph_to_image(radiograph, for_nifti=not name.endswith((".nrrd", ".mha")))
        with writing(path) as temporary:
            sitk.WriteImage(image, str(temporary), useCompression=True)
    else:
        raise InputError(
            f"{path} cannot hold a radiograph: end the name in .nrrd or .mha, .nii, .nii.gz or .dcm, or .png for display only."
        )


def _pixels(image: sitk.Image, frame: int, name: str) -> np.ndarray:
    """The values of one grey frame (from 0) [row, column], float64 and checked."""
    array = sitk.GetArrayFromImage(image)
    channels = image.GetNumberOfComponentsPerPixel()
    array = array.reshape(-1, image.GetSize()[1], image.GetSize()[0], channels)[frame].astype(np.float64)
    colours = array[..., : 3 if channels >= 3 else 1]
    if channels > 4 or np.ptp(colours, axis=-1).max() > 0:
        raise InputError(f"{name} is a colour image: an X-ray is grey; export it as greyscale, without coloured marks.")
    pixels = colours[..., 0]
    if not np.isfinite(pixels).all():
        raise InputError(f"{name} holds NaN or infinite pixels: export it again without them.")
    if min(pixels.shape) < 2 or pixels.min() == pixels.max():
        raise InputError(f"{name} is constant ({pixels.flat[0]:g} everywhere): it shows nothing; check the file.")
    return pixels


def _named(projection: Projection, own: str, view: str | ArrayLike | None, name: str) -> Placement:
    """A stored geometry with its ``own`` name; a named view must agree with it and gives it its name."""
    if not isinstance(view, str):
        return Placement(projection, own)
    angle = float(np.degrees(np.arccos(np.clip(views.parse_view(view)[0] @ projection.beam_direction, -1, 1))))
    if angle > _MIX_UP_DEGREES:
        raise InputError(
            f"{name} is called {view}, but the geometry stored in it points {angle:.0f} degrees elsewhere "
            f"({own or 'unnamed'}): choose the right file or leave the view out."
        )
    return Placement(projection, view)


def _aimed(projection: Projection, isocentre: ArrayLike | None) -> Projection:
    """A stored geometry, shifted across its beam so that the axis meets ``isocentre`` (LPS mm) where one is given."""
    if isocentre is None:
        return projection
    axis = projection.beam_direction
    offset = vector(isocentre, "isocentre") - projection.centre
    shift = offset - (offset @ axis) * axis
    source = None if projection.source is None else projection.source + shift
    return replace(projection, origin=projection.origin + shift, source=source)


def _line_integrals(
    pixels: np.ndarray, is_float: bool, header: Dataset | None, kind: str, name: str
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Line integrals float32, what is unknown of their scale, and notes."""
    pixels, bright_is_dense = (pixels, True) if header is None else _stored_values(pixels, header, name)
    if kind == "auto":
        linear = False
        if header is None:
            scaled = is_float and Path(name).suffix.lower() not in _PICTURES
        else:
            scaled = word(header, "RescaleType") == RESCALE_TYPE
            unprocessed = word(header, "PresentationIntentType") in ("", "FOR PROCESSING")
            linear = unprocessed and word(header, "PixelIntensityRelationship") == "LIN"
        if scaled:
            kind = "line_integral"
        elif linear and not bright_is_dense:
            kind = "intensity"
    if kind == "line_integral":
        return pixels.astype(np.float32), (), ()
    low, high = float(pixels.min()), float(pixels.max())
    if kind == "intensity":
        if high <= 0:
            raise InputError(f"{name} has no positive intensity: it cannot be I in -ln(I / I0); name another kind.")
        fraction = is_float and high <= 1
        open_beam = 1.0 if fraction else high
        # A pixel without signal gets half the smallest signal there is, instead of infinity.
        smallest = float(pixels[pixels > 0].min())
        notes = () if fraction else (f"The brightest pixel ({high:g}) is taken to be the open beam.",)
        return -np.log(np.maximum(pixels, smallest / 2) / open_beam).astype(np.float32), (), notes
    if bright_is_dense == (kind == "inverted"):
        pixels = low + high - pixels
    note = "Gain and offset of the picture are unknown; its values are only relative."
    return (
        ((pixels - low) / (high - low) * PICTURE_WHITE).astype(np.float32),
        UNKNOWN[:2] if header is not None else UNKNOWN,
        (note,),
    )


def _stored_values(pixels: np.ndarray, header: Dataset, name: str) -> tuple[np.ndarray, bool]:
    """The values as they are stored in a DICOM file, and whether high ones mean much attenuation.

    GDCM turns MONOCHROME1 (low is shown white) over while reading, but PixelIntensityRelationship and its sign (1: less
    beam is a lower value) are said of the stored values. Without them a picture is hung as usual, with bone white.
    """
    slope, intercept = _rescale(header, "RescaleSlope", 1.0, name), _rescale(header, "RescaleIntercept", 0.0, name)
    turned = word(header, "PhotometricInterpretation") == "MONOCHROME1"
    if turned:
        bits = int(number(header, "BitsStored") or 16)
        ends = -1 if number(header, "PixelRepresentation") == 1 else 2**bits - 1  # the lowest and the highest value, added
        pixels = slope * ends + 2 * intercept - pixels
    relationship, sign = word(header, "PixelIntensityRelationship"), number(header, "PixelIntensityRelationshipSign")
    if sign not in (1, -1):
        sign = 1 if relationship in ("LIN", "LOG") else None
    return pixels, not turned if sign is None else sign == -1


def _rescale(header: Dataset, keyword: str, neutral: float, name: str) -> float:
    """Slope or intercept, ``neutral`` when it is absent; :class:`InputError` for anything but one number."""
    if not words(header, keyword):
        return neutral
    value = number(header, keyword)
    if value is None:
        told = "\\".join(words(header, keyword))
        raise InputError(f"{name} has the {keyword} {told!r}, which is not one number: correct its header.")
    return value
