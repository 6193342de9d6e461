"""Label maps as DICOM Segmentation objects (SEG), by highdicom, in the frame of reference of the images that they were found in.

Patient, study, frame of reference and the referenced images are those of the CT or X-ray, as
:func:`XRayTo3DLib.read_patient_study` reads them; what is not known is empty, and the UIDs that a file must have are new. Each
structure is a binary segment with its SNOMED CT code, side and recommended colour (:mod:`XRayTo3DLib.anatomy.catalogue`). A label
map's voxels are its own: they need not be those of the images. Sources: DICOM PS3.3 A.51 (Segmentation), C.8.20.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

import XRayTo3DLib
from XRayTo3DLib.anatomy.catalogue import CATALOGUE, structure_colour
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing
from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.io.identity import KEYWORDS

#: What a structure without a code of its own is: a tissue of the body.
_UNNAMED = "SCT^85756007^Tissue"
_DESCRIPTION = "Found in X-rays by XRayTo3D; not for diagnosis"
#: Lengths that DICOM allows a label (LO) to have.
_LONGEST = 64


def check_seg_packages() -> None:
    """Raise :class:`InputError` before the work when no DICOM SEG could be written after it."""
    if find_spec("highdicom") is None:
        raise InputError("DICOM SEG needs highdicom: run `pip install 'xrayto3d[seg]'`, or choose .seg.nrrd.")


def write_dicom_seg(labelmap: Labelmap, path: str | Path, identity: PatientStudy | None = None, model: str = "") -> None:
    """Write the structures of a label map as one DICOM SEG, a binary segment each; the file appears whole or not at all.

    - ``identity``: patient, study, frame of reference and images of the CT or the X-ray (:func:`XRayTo3DLib.read_patient_study`);
    - ``model``: the name of what found them, for the file's algorithm.

    Raises :class:`InputError` when highdicom is missing, for a label map without voxels, and for axes that are not at right angles,
    which DICOM cannot hold.
    """
    check_seg_packages()
    import highdicom

    named = [(number, name) for number, name in labelmap.names.items() if (labelmap.array == number).any()]
    if not named:
        raise InputError("The label map holds no structure, all its voxels are 0: there is nothing to write as DICOM SEG.")
    direction = labelmap.grid.direction
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise InputError("The axes of the label map are not at right angles, which DICOM cannot hold: resample it first.")
    known = identity or PatientStudy()
    sources = _sources(known, direction)
    stacked = np.zeros((*labelmap.array.shape, len(named)), dtype=np.uint8)
    for place, (number, _) in enumerate(named):
        stacked[..., place] = labelmap.array == number
    affine = labelmap.grid.affine
    # highdicom counts axes as the array does, [z, y, x].
    volume = highdicom.Volume(
        stacked,
        affine[:, [2, 1, 0, 3]],
        "PATIENT",
        sources[0].FrameOfReferenceUID,
        {"SegmentNumber": list(range(1, len(named) + 1))},
    )
    dataset = highdicom.seg.Segmentation(
        sources,
        volume,
        "BINARY",
        [_segment(place, name, model) for place, (_, name) in enumerate(named, 1)],
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="XRayTo3D",
        manufacturer_model_name="XRayTo3D",
        software_versions=XRayTo3DLib.__version__,
        device_serial_number="0",
        content_label="ORGANS",
        content_description=_DESCRIPTION,
        omit_empty_frames=True,
        series_description="Organs from X-rays, not for diagnosis",
    )
    if not known.sources:
        _without_sources(dataset)
    with writing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


def _segment(number: int, name: str, model: str) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    found = CATALOGUE.get(name)
    category, code = (found.category, found.code) if found else (_UNNAMED, _UNNAMED)
    algorithm = highdicom.AlgorithmIdentificationSequence(
        model or "XRayTo3D", codes.DCM.ArtificialIntelligence, XRayTo3DLib.__version__
    )
    segment = highdicom.seg.SegmentDescription(
        number,
        name[:_LONGEST],
        _code(category),
        _code(code),
        "AUTOMATIC",
        algorithm,
        display_color=highdicom.color.CIELabColor.from_rgb(*(round(255 * part) for part in structure_colour(name, number - 1))),
    )
    if found and found.side != "^^":
        segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [_code(found.side)]
    return segment


def _code(words: str) -> Any:
    """A code from "scheme^value^meaning"."""
    import highdicom

    scheme, value, meaning = words.split("^")
    return highdicom.sr.CodedConcept(value, scheme, meaning)


def _sources(identity: PatientStudy, direction: np.ndarray) -> list[Dataset]:
    """The images that highdicom takes patient, study, frame and references from: a header an image, one where none is known."""
    uids = {
        "StudyInstanceUID": identity.study_uid or generate_uid(),
        "SeriesInstanceUID": identity.series_uid or generate_uid(),
        "FrameOfReferenceUID": identity.frame_of_reference_uid or generate_uid(),
    }
    headers = []
    for class_uid, instance_uid in identity.sources or ((SecondaryCaptureImageStorage, generate_uid()),):
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        for field, keyword in KEYWORDS.items():
            setattr(header, keyword, getattr(identity, field) or None)
        for keyword, uid in uids.items():
            setattr(header, keyword, uid)
        header.SOPClassUID, header.SOPInstanceUID = class_uid, instance_uid
        header.Rows, header.Columns, header.Modality = 1, 1, "OT"
        # The voxels are no copy of these images' pixels: planes across those of the label map pair no frame with an image.
        header.ImageOrientationPatient = [*map(float, direction[:, 1]), *map(float, direction[:, 2])]
        header.ImagePositionPatient, header.PixelSpacing, header.SliceThickness = [0.0, 0.0, 0.0], [1.0, 1.0], 1.0
        headers.append(header)
    return headers


def _without_sources(dataset: Dataset) -> None:
    """Take references to an image that does not exist out of a segmentation."""
    for keyword in ("ReferencedSeriesSequence", "SourceImageSequence"):
        if keyword in dataset:
            delattr(dataset, keyword)
    frames: Sequence[Dataset] = [*dataset.get("SharedFunctionalGroupsSequence", []), *dataset.PerFrameFunctionalGroupsSequence]
    for frame in frames:
        for item in frame.get("DerivationImageSequence", []):
            if "SourceImageSequence" in item:
                del item.SourceImageSequence
