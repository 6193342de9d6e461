"""DICOM files that tests make: a small CT of a named patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

#: A patient who must be found nowhere unless asked for.
SECRET = "SECRET^NAME"
#: What a CT of that patient says of it.
IDENTITY = {
    "PatientName": SECRET,
    "PatientID": "P-77",
    "PatientBirthDate": "19481203",
    "PatientSex": "F",
    "StudyInstanceUID": "1.2.3.4",
    "StudyDate": "20240229",
    "StudyTime": "101112",
    "StudyID": "S-5",
    "AccessionNumber": "A-9",
    "StudyDescription": "CT of SECRET",
    "ReferringPhysicianName": "SECRET^DOCTOR",
    "FrameOfReferenceUID": "1.2.3.4.5",
    "PositionReferenceIndicator": "XY",
    "SeriesInstanceUID": "1.2.3.4.6",
}


def write_ct_series(hounsfield: np.ndarray, folder: Path, spacing: float = 4.0, stem: str = "slice", **tags: Any) -> Path:
    """A CT (HU, [z, y, x]) around the origin as one slice a file; ``tags`` in place of those of IDENTITY, ``None``: absent."""
    folder.mkdir(parents=True, exist_ok=True)
    depth, rows, columns = hounsfield.shape
    for number, plane in enumerate(hounsfield):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"1.2.3.4.7.{number + 1}"
        dataset.Modality, dataset.InstanceNumber = "CT", number + 1
        for keyword, value in (IDENTITY | tags).items():
            if value is not None:
                setattr(dataset, keyword, value)
        dataset.ImagePositionPatient = [
            -spacing * (columns - 1) / 2,
            -spacing * (rows - 1) / 2,
            spacing * (number - (depth - 1) / 2),
        ]
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [spacing, spacing]
        dataset.SliceThickness = spacing
        dataset.Rows, dataset.Columns = rows, columns
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
        dataset.PixelData = np.ascontiguousarray(plane, dtype="<i2").tobytes()
        pydicom.dcmwrite(folder / f"{stem}{number:03}.dcm", dataset, enforce_file_format=True)
    return folder
