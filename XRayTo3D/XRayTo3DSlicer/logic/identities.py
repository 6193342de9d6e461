"""Whose X-ray it is: patient, study and frame of reference of the CT that a radiograph node was made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer

from XRayTo3DLib.images.identity import PatientStudy
from XRayTo3DSlicer.nodes import mrml, provenance

#: Where Slicer's DICOM plugins write the instances that a node was loaded from.
_INSTANCES = "DICOM.instanceUIDs"


def identity_of(node: slicer.vtkMRMLScalarVolumeNode, ct: str | Path | None, keepIdentity: bool) -> PatientStudy | None:
    """What the DICOM files of the CT say: ``ct`` where it is named, else those that Slicer's database has of the source nodes.

    A node, or a CT, that a transform has moved is no longer in the CT's frame of reference.
    """
    from XRayTo3DLib.io.identity import read_patient_study

    source: str | Path | list[str] | None = ct
    moved = [node]
    if source is None:
        for volume in provenance.sources(node):
            source = _files(volume)
            if source:
                moved.append(volume)
                break
    found = read_patient_study(source, keepIdentity) if source else None
    if found is not None and any(not np.array_equal(mrml.to_world(each), np.eye(4)) for each in moved):
        found = replace(found, frame_of_reference_uid="", position_reference="")
    return found


def _files(node: slicer.vtkMRMLNode) -> list[str]:
    """The files that a node was loaded from, when all are still there."""
    database = getattr(slicer, "dicomDatabase", None)
    instances = (node.GetAttribute(_INSTANCES) or "").split()
    files = [database.fileForInstance(uid) for uid in instances] if database is not None else []
    return files if files and all(name and Path(name).is_file() for name in files) else []
