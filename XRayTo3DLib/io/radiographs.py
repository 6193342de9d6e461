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
from XRayTo3DLib.images.artefacts import without_artefacts
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.images.marker import GUESSED_MM
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.io.dicom_frames import chosen_frame, frame_count, frame_tags
from XRayTo3DLib.io.dicom_geometry import KnownGeometry, Placement
from XRayTo3DLib.io.dicom_headers import check_dicom, read_header, word
from XRayTo3DLib.io.dicom_kinds import check_is_xray
from XRayTo3DLib.io.dicom_values import dicom_reading
from XRayTo3DLib.io.identity import without_patient
from XRayTo3DLib.io.image_files import check_file
from XRayTo3DLib.io.picture_masks import read_mask
from XRayTo3DLib.io.picture_pixels import is_picture, read_picture
from XRayTo3DLib.io.pictures import write_picture
from XRayTo3DLib.io.projections import only, read_calibrations
from XRayTo3DLib.io.radiograph_images import known_words, radiograph_to_image, stored_in_image, stored_mask
from XRayTo3DLib.io.radiograph_values import KINDS, Reading, line_integrals
from XRayTo3DLib.io.rtimage import stored_in_rtimage, write_rtimage
from XRayTo3DLib.io.scanned import placed_by_dicom
from XRayTo3DLib.io.volumes import read_image

#: Further apart than this, a stored geometry and the view named by the user are a mix-up.
_MIX_UP_DEGREES = 30.0


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
    beam: str | None = None,
    geometry: Projection | str | Path | None = None,
    mask: str | Path | np.ndarray | None = None,
) -> Radiograph:
    """One X-ray from a DICOM file (CR, DX, XA, RTIMAGE, secondary capture), a picture, or NRRD, MetaImage or NIfTI.

    - ``view``: a word of :data:`views.VIEW_WORDS` or a beam axis (LPS); ``None`` takes it from the file;
    - ``spacing``: mm at the detector, one number or (between rows, between columns); pictures need it;
    - ``source_to_detector``, ``source_to_isocentre``: mm; ``parallel`` for a parallel beam instead;
    - ``isocentre``: LPS mm of the point the beam is aimed at (the origin, where the file does not say either);
    - ``kind``: what the values are. ``"line_integral"``: taken as they are. ``"transmission"``: ``I / I0``. ``"intensity"``:
      ``I``, whose I0 is that of the exposed background. ``"inverted"``: a picture with dark bone (of DICOM: the opposite of
      what its tags say). ``"auto"``: floats in NRRD, MetaImage and NIfTI, and RT images of :func:`write_radiograph`, are line
      integrals; DICOM is what its tags say (see :mod:`XRayTo3DLib.io.dicom_values`); anything else is a picture;
    - ``frame``: which one of a file that holds several, counted from 1;
    - ``beam``: ``"cone"``, ``"parallel"`` or ``"scanned"`` (a CT localizer, a slot scanner) whatever the file says;
    - ``geometry``: the exact geometry, or a file that :mod:`XRayTo3DLib.io.projections` reads, in place of all distances;
      ``spacing`` then tells the pixel where that file does not;
    - ``mask``: pixels that are no measurements, beside those that the file names: an array [row, column], a picture or an image
      of the same size, not 0 there.

    What is given wins over the file's tags, and those over defaults; an RT image may name its own isocentre. A file of
    :func:`write_radiograph` brings its exact geometry, which is used unless spacing, distances or a beam are given; an
    ``isocentre`` shifts it across its beam.
    A picture becomes line integrals from 0 (darkest) to :data:`PICTURE_WHITE` (brightest), bone bright, and is not
    ``calibrated``; grey stored as colour is accepted. What is unknown of the scale is in ``unknown``; pixels that are no
    measurement (padding, shutters, collimators, saturated or broken pixels, transparency) are not ``valid``, and 0.

    Raises :class:`InputError` for anything else: not an image, several frames and none named, no X-ray (mammograms, teeth,
    ultrasound, ...), colour, NaN, a constant picture, unknown
    spacing, an unknown view, or a view that contradicts the stored geometry.
    """
    if kind not in KINDS:
        raise InputError(f"The kind of values {kind!r} is not known: use one of {', '.join(KINDS)}.")
    readable_file(path, "X-ray")
    header = read_header(path)
    image = None if header is not None or is_picture(path) else read_image(path)
    told = 1
    notes: list[str] = []
    if header is not None:
        notes += check_is_xray(header, str(path))
        check_dicom(path)
        told = frame_count(header)
    elif image is None:
        check_file(Path(path))
    else:
        told = int(np.prod(image.GetSize()[2:], dtype=int))
    chosen = chosen_frame(told, frame, str(path))
    if header is not None:
        header = frame_tags(header, chosen, notes)
    beam = "parallel" if parallel else beam
    if geometry is not None and any(value is not None for value in (source_to_detector, source_to_isocentre, beam)):
        raise InputError(f"{path} has a geometry that says all of tube and detector: drop the distances and the kind of beam.")
    explicit = any(value is not None for value in (spacing, source_to_detector, source_to_isocentre, beam, geometry))
    stored = None
    if image is not None:
        stored = stored_in_image(image, not explicit, str(path))
    elif header is not None and word(header, "Modality") == "RTIMAGE":
        stored = stored_in_rtimage(header, not explicit, str(path))
    kind = "line_integral" if stored is not None and kind == "auto" else kind
    reading = _reading(Path(path), image, header, chosen, kind, stored is not None)
    if mask is not None:
        reading = replace(reading, valid=reading.valid & ~read_mask(mask, reading.values.shape, str(path)))
    if geometry is not None:
        placement = _calibrated(geometry, reading.values.shape, view, spacing, isocentre, str(path))
    elif stored is not None and stored.projection is not None:
        placement = _named(_aimed(stored.projection, isocentre), stored.name, view, str(path))
    else:
        if spacing is None and image is not None:
            spacing = image.GetSpacing()[1], image.GetSpacing()[0]
        known = KnownGeometry(view, spacing, source_to_detector, source_to_isocentre, isocentre, beam)
        placement = placed_by_dicom(header or Dataset(), reading.values.shape, known, str(path))
    found = line_integrals(reading, str(path))
    unknown = found.unknown
    if stored is not None:
        unknown = known_words((*unknown, *stored.unknown))
    notes += [*placement.notes, *(() if stored is None else stored.notes), *found.notes]
    if header is None and image is None:
        notes.append(GUESSED_MM)
    said = without_patient(notes, path)
    radiograph = Radiograph(found.values, placement.projection, placement.view, unknown, said, found.valid)
    # A file that keeps a radiograph keeps its mask; only what was processed for display is searched.
    return without_artefacts(radiograph) if "curve" in unknown and stored is None else radiograph


def write_radiograph(
    radiograph: Radiograph, path: str | Path, isocentre: ArrayLike | None = None, identity: PatientStudy | None = None
) -> None:
    """Write a radiograph as the ending of ``path`` says; the file appears whole or not at all.

    - .nrrd, .mha: float32 and everything else, exactly. The image is one slice that stands where the detector is (LPS mm),
      so that Slicer shows it there; source or ray direction, name and notes are in its metadata,
      and pixels that are not valid are NaN;
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


def _reading(path: Path, image: sitk.Image | None, header: Dataset | None, frame: int, kind: str, stored: bool) -> Reading:
    """The picture in a file and what its numbers mean; only a ``stored`` radiograph of ours marks pixels by NaN."""
    if header is not None:
        return dicom_reading(path, header, frame, kind)
    if image is None:
        picture = read_picture(path)
        values, valid, notes, is_float = picture.values, picture.valid, picture.notes, False
    else:
        values, notes = _one_frame(image, frame, str(path)), ()
        valid = stored_mask(values) if stored else np.ones(values.shape, bool)  # NaN of others is refused
        values = np.where(valid, values, 0.0)
        is_float = image.GetPixelID() in (sitk.sitkFloat32, sitk.sitkFloat64)
    if kind == "auto":
        kind = "line_integral" if is_float else "display"
    return Reading(-values if kind == "inverted" else values, valid, "display" if kind == "inverted" else kind, notes=notes)


def _one_frame(image: sitk.Image, frame: int, name: str) -> np.ndarray:
    """The values of one grey frame (from 0) [row, column], float64."""
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError(f"{name} is a colour or vector image: an X-ray is grey; export it as greyscale.")
    return sitk.GetArrayFromImage(image).reshape(-1, image.GetSize()[1], image.GetSize()[0])[frame].astype(np.float64)


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


def _calibrated(
    geometry: Projection | str | Path,
    size: tuple[int, ...],
    view: str | ArrayLike | None,
    spacing: float | tuple[float, float] | None,
    isocentre: ArrayLike | None,
    name: str,
) -> Placement:
    """A picture of ``size`` (rows, columns) in a geometry that is known exactly."""
    notes: tuple[str, ...] = ()
    if isinstance(geometry, Projection):
        projection, own = geometry, ""
    else:
        calibration = only(read_calibrations(geometry), view if isinstance(view, str) else None, str(geometry))
        pixel = None if spacing is None else (spacing, spacing) if isinstance(spacing, (int, float)) else spacing
        where = ((size[0], size[1]), pixel, (0.0, 0.0, 0.0) if isocentre is None else isocentre)
        try:
            projection, notes = calibration.placed(*where)
        except InputError as error:
            if "is mirrored" not in str(error):
                raise InputError(f"{geometry}: {error}") from None
            # A matrix tells from where its picture is seen, and there is a picture to it.
            projection, notes = calibration.placed(*where, mirrored=True)
            notes = (*notes, "By its matrix the picture is seen from the detector.")
        own = calibration.name
    if projection.size != size:
        raise InputError(
            f"{name} has {size[0]} x {size[1]} pixels but its geometry {projection.size[0]} x {projection.size[1]}: give that of "
            "this picture."
        )
    return replace(_named(projection, own, view, name), notes=notes)


def _aimed(projection: Projection, isocentre: ArrayLike | None) -> Projection:
    """A stored geometry, shifted across its beam so that the axis meets ``isocentre`` (LPS mm) where one is given."""
    if isocentre is None:
        return projection
    axis = projection.beam_direction
    offset = vector(isocentre, "isocentre") - projection.centre
    shift = offset - (offset @ axis) * axis
    source = None if projection.source is None else projection.source + shift
    return replace(projection, origin=projection.origin + shift, source=source)
