"""X-rays as files and in 3D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import slicer

from XRayTo3DSlicer.logic import checks, identities, poses
from XRayTo3DSlicer.nodes import mask_nodes, model_nodes, provenance, radiograph_nodes, scene


class RadiographLogic:
    """The part of :class:`Logic` that loads, saves and shows X-rays."""

    def saveRadiograph(
        self,
        node: slicer.vtkMRMLScalarVolumeNode,
        path: str | Path,
        isocentre: Sequence[float] | None = None,
        ct: str | Path | None = None,
        keepIdentity: bool = False,
    ) -> None:
        """Write an X-ray to .nrrd, .mha, .nii.gz or .dcm (RT image) with its geometry, or to .png for the eye.

        What only DICOM wants to know:

        - ``isocentre``: LPS mm of the point that the beam is aimed at; by default that of :meth:`renderDRR`, else none;
        - ``ct``: the DICOM file or folder of the CT that the X-ray was made of, whose patient's identifier, study and frame of
          reference the file keeps; by default the CT's own files, where Slicer loaded it from its DICOM database;
        - ``keepIdentity``: the patient's name, birth date and sex too, and the study's description and accession number.
        """
        from XRayTo3DLib.io.radiographs import write_radiograph

        radiograph = radiograph_nodes.radiograph_from_node(checks.given(node, "radiograph"))
        identity = None
        if Path(path).suffix.lower() == ".dcm":
            isocentre = radiograph_nodes.isocentre_of(node) if isocentre is None else isocentre
            identity = identities.identity_of(node, ct, keepIdentity)
        write_radiograph(radiograph, path, isocentre, identity)

    def saveProjection(self, node: slicer.vtkMRMLScalarVolumeNode, path: str | Path) -> tuple[str, ...]:
        """Write the geometry of an X-ray to .json, .xml (RTK), .txt or .csv (Autoscoper).

        Returns notes of what a format cannot keep.
        """
        from XRayTo3DLib.io.projections import write_projection

        radiograph = radiograph_nodes.radiograph_from_node(checks.given(node, "radiograph"))
        return write_projection(radiograph.projection, path, node.GetName())

    def loadRadiograph(
        self,
        path: str | Path,
        view: str | None = None,
        spacing: float | tuple[float, float] | None = None,
        sourceToDetector: float | None = None,
        sourceToIsocentre: float | None = None,
        parallel: bool = False,
        kind: str = "auto",
        isocentre: Sequence[float] | None = None,
        name: str | None = None,
        ask: Callable[[str], bool] | None = None,
        frame: int | None = None,
        beam: str | None = None,
        geometry: str | Path | None = None,
        marker: tuple[float, float] | None = None,
        markerAt: tuple[float, float] | None = None,
        mask: str | Path | np.ndarray | None = None,
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """An X-ray from a DICOM file, a picture, or NRRD, as a radiograph node standing where its detector is.

        - ``view``: as in :meth:`renderDRR`; by default what the file says, as for everything that is left out here;
        - ``spacing``: mm between pixels, one number or (between rows, between columns); a picture needs it;
        - ``sourceToDetector``, ``sourceToIsocentre``: mm; ``beam``: cone, parallel or scanned (source and detector travelled along
          the patient); ``parallel``: the same as beam="parallel";
        - ``kind``: what the pixels are: line_integral, intensity, inverted (bone is dark), or auto;
        - ``isocentre``: LPS mm of the point that the beam is aimed at; the origin, where the file does not say either;
        - ``ask``: decides, given a question, whether a detector with a side above 600 mm is meant; :class:`Cancelled` if not;
        - ``frame``: which one of a file that holds several, counted from 1;
        - ``geometry``: a file with the exact geometry, as in :meth:`renderDRR`'s ``projection``;
        - ``marker``: in place of ``spacing``, the diameter of a disc or sphere on the picture and its height above the detector in
          mm;
          ``markerAt``: its row and column on the picture, found where it is left out;
        - ``mask``: a picture or an array of the X-ray's size, not 0 where nothing was measured; :meth:`maskRadiograph` edits it.
        """
        from XRayTo3DLib.images.marker import scaled_by_marker
        from XRayTo3DLib.io.identity import name_without_patient
        from XRayTo3DLib.io.radiographs import read_radiograph

        if marker is not None:
            checks.oneScale(spacing)
            spacing = 1.0
        radiograph = read_radiograph(
            path, view, spacing, sourceToDetector, sourceToIsocentre, kind, isocentre, parallel, frame, beam, geometry, mask
        )
        if marker is not None:
            radiograph = scaled_by_marker(radiograph, *marker, at=markerAt)
        poses.checkDetectorSize(radiograph, Path(path).name, ask)
        own = name_without_patient(path)
        title = name or " ".join(filter(None, (own.split(".")[0], radiograph.name)))
        with scene.all_or_nothing():
            node = radiograph_nodes.radiograph_to_node(radiograph, scene.unique_name(title))
            provenance.stamp(node, [], File=own)
        return node

    def maskRadiograph(self, radiographNode: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSegmentationNode:
        """The segmentation of the pixels of an X-ray that are no measurements (letters, shutters); an empty one where it has none.

        What is painted into it in the Segment Editor pulls nothing in a reconstruction and counts in no figure.
        """
        radiograph = radiograph_nodes.radiograph_from_node(checks.given(radiographNode, "radiograph"))
        mask = mask_nodes.mask_of(radiographNode)
        if mask is None:
            with scene.all_or_nothing():
                mask = mask_nodes.mask_to_node(np.ones(radiograph.projection.size, bool), radiographNode)
                scene.put(mask, scene.folder_of(radiographNode))
        return mask

    def showProjection(self, radiographNode: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLModelNode]:
        """The beam of a radiograph and its picture at the detector as two models; those shown before are replaced."""
        radiograph = radiograph_nodes.radiograph_from_node(checks.given(radiographNode, "radiograph"))
        before = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLModelNode")
            if provenance.read(node, "Type") in (provenance.BEAM, provenance.PICTURE) and radiographNode in provenance.sources(node)
        ]
        title = radiographNode.GetName()
        with scene.all_or_nothing():
            shown = [
                model_nodes.beam_to_node(radiograph.projection, f"{title} beam"),
                model_nodes.picture_to_node(radiograph, f"{title} picture"),
            ]
            for node in shown:
                provenance.stamp(node, [radiographNode])
                scene.put(node, scene.folder_of(radiographNode))
        for node in before:
            scene.remove(node)
        return shown
