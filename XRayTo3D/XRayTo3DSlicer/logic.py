"""The operations as calls for the Python console: nodes in, nodes out.

Every call computes first, with the library alone, and then adds its nodes all at once: an error or a cancel leaves the
scene as it was. Errors are :class:`InputError`, one sentence for the user. Nodes carry where they came from (see
``provenance``).

    logic = XRayTo3DLogic()
    front, side = (logic.renderDRR(ctNode, view) for view in ("AP", "LAT"))
    result = logic.reconstruct([front, side])
    logic.extractSurfaces(logic.segment(result.volumeNode))

Geometry (``Projection``, ``Grid``) is in the library's frame: LPS, mm. What needs torch is imported when it is called,
because Slicer has no torch until the dependencies are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import Grid, Projection
from XRayTo3DLib.images import check_ct, resample
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DLib.views import DEFAULT_SOURCE_TO_DETECTOR, view_projection
from XRayTo3DSlicer import nodes, provenance, results, scene

if TYPE_CHECKING:
    from XRayTo3DLib.modelzoo import ModelFile

#: Pixel size of a DRR in mm when none is asked for.
DEFAULT_PIXEL = 2.0


class Logic:
    """The library part of the module's logic; it needs a scene but no window, and keeps no state."""

    def renderDRR(
        self,
        ctNode: slicer.vtkMRMLScalarVolumeNode,
        view: str = "AP",
        size: tuple[int, int] | None = None,
        spacing: float | None = None,
        sourceToDetector: float = DEFAULT_SOURCE_TO_DETECTOR,
        sourceToIsocentre: float | None = None,
        parallel: bool = False,
        projection: Projection | None = None,
        name: str | None = None,
        progress: Progress = silent,
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """The X-ray of a CT as a radiograph node of line integrals, standing where its detector is.

        - ``view``: AP, PA, LAT, RLAT, LAO30, RAO20CAUD10, AP+10 and so on, aimed at the middle of the CT;
        - ``size``: (rows, columns), by default just large enough for the CT; ``spacing``: pixel size in mm (2 mm);
        - ``sourceToDetector``, ``sourceToIsocentre``: mm (1500, and 0.8 of it); ``parallel``: parallel rays instead;
        - ``projection``: an exact geometry in place of all that; ``view`` is then only the view's name.
        """
        from XRayTo3DLib.drr import fit_projection, render_drr

        volume = _ct(ctNode)
        if projection is None:
            distance = None if parallel else sourceToDetector
            pixel = DEFAULT_PIXEL if spacing is None else spacing
            if size is None:
                projection = fit_projection(view, volume.grid, pixel, distance, sourceToIsocentre)
            else:
                projection = view_projection(view, volume.grid.centre, size, pixel, distance, sourceToIsocentre)
        radiograph = render_drr(volume, [projection], [view], progress=progress)[0]
        with scene.all_or_nothing():
            node = nodes.radiograph_to_node(radiograph, scene.unique_name(name or f"{ctNode.GetName()} {view}"))
            provenance.stamp(node, [ctNode])
        return node

    def loadRadiograph(
        self,
        path: str | Path,
        view: str | None = None,
        spacing: float | tuple[float, float] | None = None,
        sourceToDetector: float | None = None,
        sourceToIsocentre: float | None = None,
        parallel: bool = False,
        kind: str = "auto",
        isocentre: Sequence[float] = (0.0, 0.0, 0.0),
        name: str | None = None,
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """An X-ray from a DICOM file, a picture, or NRRD, as a radiograph node standing where its detector is.

        - ``view``: as in :meth:`renderDRR`; by default what the file says, as for everything that is left out here;
        - ``spacing``: mm between pixels, one number or (between rows, between columns); a picture needs it;
        - ``sourceToDetector``, ``sourceToIsocentre``: mm; ``parallel``: parallel rays instead;
        - ``kind``: what the pixels are: line_integral, intensity, inverted (bone is dark), or auto;
        - ``isocentre``: LPS mm of the point that the beam is aimed at.
        """
        from XRayTo3DLib.radiographs import read_radiograph

        radiograph = read_radiograph(path, view, spacing, sourceToDetector, sourceToIsocentre, kind, isocentre, parallel)
        title = name or " ".join(filter(None, (Path(path).name.split(".")[0], radiograph.name)))
        with scene.all_or_nothing():
            node = nodes.radiograph_to_node(radiograph, scene.unique_name(title))
            provenance.stamp(node, [], File=Path(path).name)
        return node

    def reconstruct(
        self,
        radiographNodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
        model: str | Path | None = None,
        grid: Grid | None = None,
        fuse: bool = True,
        beta: float | None = None,
        checkViews: bool = True,
        ask: Callable[[ModelFile], bool] | None = None,
        name: str | None = None,
        progress: Progress = silent,
    ) -> results.ReconstructionNodes:
        """A volume in HU from one or more radiographs, with its re-projections and residuals, in a folder of its own.

        - ``model``: name or path, the bundled one by default; ``ask`` decides whether one from elsewhere is trusted;
        - ``grid``: where and how finely to reconstruct (64^3 voxels of 4 mm around the views' common centre);
        - ``fuse``, ``beta``: correct the volume until it re-projects to the radiographs;
        - ``checkViews``: refuse views whose pictures contradict their names.
        """
        from XRayTo3DLib.fusion import BETA
        from XRayTo3DLib.reconstruct import reconstruct

        radiographs = [nodes.radiograph_from_node(_given(node, "radiograph")) for node in radiographNodes]
        found = reconstruct(
            radiographs,
            model=model,
            grid=grid,
            fuse_views=fuse,
            beta=BETA if beta is None else beta,
            check_views=checkViews,
            ask=ask,
            progress=part(progress, 0.0, 0.95),
        )
        views = " + ".join(radiograph.name for radiograph in radiographs)
        progress(0.95, "adding the result to the scene")
        with scene.all_or_nothing():
            return results.add(found, list(radiographNodes), name or f"Reconstruction {views}", fuse)

    def segment(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, name: str | None = None) -> slicer.vtkMRMLSegmentationNode:
        """Body, lungs and bone of a CT or a reconstruction, with closed surfaces, in the folder of that volume."""
        from XRayTo3DLib.segmentation import segment_ct

        labelmap = segment_ct(_ct(volumeNode))
        with scene.all_or_nothing():
            title = scene.unique_name(name or f"{volumeNode.GetName()} segmentation")
            node = nodes.segmentation_to_node(labelmap, title)
            provenance.stamp(node, [volumeNode])
            scene.put(node, scene.folder_of(volumeNode))
        return node

    def extractSurfaces(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[slicer.vtkMRMLModelNode]:
        """One closed surface a segment as a model, its volume in mL as an attribute; empty segments are left out."""
        from XRayTo3DLib.surfaces import extract_surfaces

        surfaces = extract_surfaces(nodes.segmentation_from_node(_given(segmentationNode, "segmentation")))
        if not surfaces:
            raise InputError(f"All segments of {segmentationNode.GetName()} are empty: there is no surface to extract.")
        with scene.all_or_nothing():
            added = []
            for order, surface in enumerate(surfaces):
                node = nodes.surface_to_node(surface, order)
                provenance.stamp(node, [segmentationNode])
                scene.put(node, scene.folder_of(segmentationNode))
                added.append(node)
        return added

    def compare(self, reconstructionNode: slicer.vtkMRMLScalarVolumeNode, ctNode: slicer.vtkMRMLScalarVolumeNode) -> dict[str, Any]:
        """Figures of a reconstruction against the CT, on the reconstruction's grid; nothing is added to the scene.

        ``psnr`` (dB, peak 2500) and ``ssim`` on HU + 1024 clipped to [0, 2500] over the whole grid; ``psnr_x2ct`` the
        same with the peak 4095; ``hu_mae_body`` in HU where the CT is above -300 HU; for each of body (all inside the
        skin), lungs and bone ``dice``, ``hd95_mm``, ``volume_ml`` and ``volume_ml_ct``. What is not defined is NaN.
        """
        from XRayTo3DLib import comparison, metrics
        from XRayTo3DLib.segmentation import segment_ct

        estimate, ct = _ct(reconstructionNode), _ct(ctNode)
        truth = resample(ct, estimate.grid, smooth=True)
        if not (truth.array > metrics.BODY_HU).any():
            raise InputError(
                f"{reconstructionNode.GetName()} and {ctNode.GetName()} do not overlap in space: compare with the CT "
                "that the radiographs were made from, or register both first."
            )
        return {
            "reconstruction": reconstructionNode.GetName(),
            "ct": ctNode.GetName(),
            "range": comparison.RANGE,
            **comparison.compare(truth, estimate, segment_ct(truth), segment_ct(estimate)),
        }

    def showProjection(self, radiographNode: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLModelNode]:
        """The beam of a radiograph and its picture at the detector as two models; those shown before are replaced."""
        radiograph = nodes.radiograph_from_node(_given(radiographNode, "radiograph"))
        before = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLModelNode")
            if provenance.read(node, "Type") in (provenance.BEAM, provenance.PICTURE) and radiographNode in provenance.sources(node)
        ]
        title = radiographNode.GetName()
        with scene.all_or_nothing():
            shown = [
                nodes.beam_to_node(radiograph.projection, f"{title} beam"),
                nodes.picture_to_node(radiograph, f"{title} picture"),
            ]
            for node in shown:
                provenance.stamp(node, [radiographNode])
                scene.put(node, scene.folder_of(radiographNode))
        for node in before:
            scene.remove(node)
        return shown

    def models(self) -> list[ModelFile]:
        """The models in the search path, with their cards."""
        from XRayTo3DLib.modelzoo import find_models

        return find_models()


def _given(node: Any, kind: str) -> Any:
    if node is None:
        raise InputError(f"No {kind} is chosen: choose one.")
    return node


def _ct(node: slicer.vtkMRMLScalarVolumeNode) -> Any:
    """The volume of a node, checked to be in HU."""
    volume = nodes.volume_from_node(_given(node, "volume"))
    check_ct(volume, node.GetName())
    return volume
