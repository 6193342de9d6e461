"""The operations as calls for the Python console: nodes in, nodes out.

Every call computes first, with the library alone, and then adds its nodes all at once: an error or a cancel leaves the
scene as it was. Errors are :class:`InputError`, one sentence for the user. Nodes carry where they came from (see
``provenance``).

    logic = XRayTo3DLogic()
    front, side = logic.renderDRR(ctNode, ["AP", "LAT"])
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
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike
from XRayTo3DLib.geometry.views import DEFAULT_SOURCE_TO_DETECTOR
from XRayTo3DLib.images.volume import check_ct
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DSlicer import model_nodes, provenance, radiograph_nodes, results, scene, segmentation_nodes, volume_nodes, xrays

if TYPE_CHECKING:
    from XRayTo3DLib.models.zoo import ModelFile


class Logic:
    """The library part of the module's logic; it needs a scene but no window, and keeps no state."""

    def renderDRR(
        self,
        ctNode: slicer.vtkMRMLScalarVolumeNode,
        view: str | Sequence[str] = "AP",
        size: tuple[int, int] | None = None,
        spacing: float | None = None,
        sourceToDetector: float = DEFAULT_SOURCE_TO_DETECTOR,
        sourceToIsocentre: float | None = None,
        parallel: bool = False,
        projection: Projection | ArrayLike | Sequence[Projection | ArrayLike] | None = None,
        name: str | None = None,
        progress: Progress = silent,
        *,
        quality: str = "full",
        kilovolts: float | None = None,
        inserts: Sequence[tuple[slicer.vtkMRMLNode, str | float]] = (),
        photons: float | None = None,
        electronicNoise: float = 0.0,
        blur: float = 0.0,
        seed: int = 0,
    ) -> Any:
        """The X-ray of a CT as a radiograph node of line integrals, standing where its detector is; for several, a list.

        - ``view``: AP, PA, LAT, RLAT, LAO30, RAO20CAUD10, AP+10 and so on, aimed at the middle of the CT; or several;
        - ``size``: (rows, columns), by default just large enough for the CT; ``spacing``: pixel size in mm (2 mm);
        - ``sourceToDetector``, ``sourceToIsocentre``: mm (1500, and 0.8 of it); ``parallel``: parallel rays instead;
        - ``projection``: an exact geometry in place of all that, or several; ``view`` is then only the view's name. A
          3x4 matrix (LPS mm to column and row) is one too, with ``size`` and, if it is not 1 mm, ``spacing``;
        - ``quality``: full, or preview, which is faster and less exact;
        - ``kilovolts``: tube voltage of a beam of many energies, 40 to 150 kV; by default one energy, about 70 keV;
        - ``inserts``: metal and contrast agent as pairs of a segmentation or model node and what it is made of: titanium,
          steel, cobalt-chromium, "iodine 15" (mg/mL), or an attenuation in 1/mm;
        - ``photons`` a pixel of the open beam, for quantum noise; ``electronicNoise``: standard deviation in photons a pixel;
        - ``blur`` of the detector: full width at half maximum in mm; ``seed`` of the noise.

        What was simulated is said in the nodes' attribute Notes. The CT and the inserts stand where their linear parent
        transforms put them.
        """
        from XRayTo3DLib.simulation.drr import render_drr
        from XRayTo3DLib.simulation.exposure import Exposure

        exposure = Exposure(kilovolts, photons, electronicNoise, blur, seed)
        volume = _ct(ctNode)
        asked = xrays.poses(volume.grid, view, size, spacing, sourceToDetector, sourceToIsocentre, parallel, projection)
        shapes, sources = xrays.insertsOf(inserts)
        added = []
        with scene.operation(ctNode, *sources) as adding:
            radiographs = render_drr(
                volume,
                asked.projections,
                asked.names,
                progress,
                quality=quality,
                exposure=exposure,
                inserts=shapes,
            )
            with adding():
                for radiograph in radiographs:
                    own = f"{name} {radiograph.name}" if name and asked.several else name
                    title = scene.unique_name(own or f"{ctNode.GetName()} {radiograph.name}")
                    added.append(radiograph_nodes.radiograph_to_node(radiograph, title))
                    provenance.stamp(added[-1], [ctNode, *sources])
        return added if asked.several else added[0]

    def renderStructures(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        view: str | Sequence[str] = "AP",
        size: tuple[int, int] | None = None,
        spacing: float | None = None,
        sourceToDetector: float = DEFAULT_SOURCE_TO_DETECTOR,
        sourceToIsocentre: float | None = None,
        parallel: bool = False,
        projection: Projection | ArrayLike | Sequence[Projection | ArrayLike] | None = None,
        name: str | None = None,
        progress: Progress = silent,
        *,
        ctNode: slicer.vtkMRMLScalarVolumeNode | None = None,
    ) -> list[Any]:
        """Each segment alone, as an X-ray node a segment in a folder of its view; for several views, a list for each.

        Without ``ctNode`` the pixels are path lengths in mm. With it they are line integrals of what the CT attenuates
        inside the segment, and views aim at the middle of the CT, as in :meth:`renderDRR`, whose geometry is meant by all
        other arguments. Segments may overlap. The nodes are of the type Structure and carry the segment's name.
        """
        volume = None if ctNode is None else _ct(ctNode)
        labelmaps = segmentation_nodes.structures_from_node(_given(segmentationNode, "segmentation"))
        grid = labelmaps[0].grid if volume is None else volume.grid
        asked = xrays.poses(grid, view, size, spacing, sourceToDetector, sourceToIsocentre, parallel, projection)
        title = name or segmentationNode.GetName()
        sources = [segmentationNode] if ctNode is None else [segmentationNode, ctNode]
        added: list[list[Any]] = []
        with scene.operation(*sources) as adding:
            found = xrays.structureRadiographs(labelmaps, asked, volume, progress)
            with adding():
                for pictures, own in zip(found, asked.names, strict=True):
                    folder = scene.new_folder(f"{title} {own}")
                    added.append([])
                    for structure, unit, radiograph in pictures:
                        node = radiograph_nodes.radiograph_to_node(
                            radiograph, scene.unique_name(f"{title} {radiograph.name}"), provenance.STRUCTURE
                        )
                        provenance.stamp(node, sources, Structure=structure, Unit=unit)
                        scene.put(node, folder)
                        added[-1].append(node)
        return added if asked.several else added[0]

    def saveRadiograph(
        self, node: slicer.vtkMRMLScalarVolumeNode, path: str | Path, isocentre: Sequence[float] | None = None
    ) -> None:
        """Write an X-ray to .nrrd, .mha, .nii.gz or .dcm (RT image) with its geometry, or to .png for the eye.

        ``isocentre``: LPS mm of the point that the beam is aimed at, which DICOM wants to know; by default the point on the
        central ray at 0.8 of the way to the detector.
        """
        from XRayTo3DLib.io.radiographs import write_radiograph

        write_radiograph(radiograph_nodes.radiograph_from_node(_given(node, "radiograph")), path, isocentre)

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
    ) -> slicer.vtkMRMLScalarVolumeNode:
        """An X-ray from a DICOM file, a picture, or NRRD, as a radiograph node standing where its detector is.

        - ``view``: as in :meth:`renderDRR`; by default what the file says, as for everything that is left out here;
        - ``spacing``: mm between pixels, one number or (between rows, between columns); a picture needs it;
        - ``sourceToDetector``, ``sourceToIsocentre``: mm; ``parallel``: parallel rays instead;
        - ``kind``: what the pixels are: line_integral, intensity, inverted (bone is dark), or auto;
        - ``isocentre``: LPS mm of the point that the beam is aimed at; the origin, where the file does not say either;
        - ``ask``: decides, given a question, whether a detector with a side above 600 mm is meant; :class:`Cancelled` if not.
        """
        from XRayTo3DLib.io.radiographs import read_radiograph

        radiograph = read_radiograph(path, view, spacing, sourceToDetector, sourceToIsocentre, kind, isocentre, parallel)
        xrays.checkDetectorSize(radiograph, Path(path).name, ask)
        title = name or " ".join(filter(None, (Path(path).name.split(".")[0], radiograph.name)))
        with scene.all_or_nothing():
            node = radiograph_nodes.radiograph_to_node(radiograph, scene.unique_name(title))
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
        from XRayTo3DLib.fusion.closed_form import BETA
        from XRayTo3DLib.reconstruction.pipeline import reconstruct

        nodes = [_given(node, "radiograph") for node in radiographNodes]
        radiographs = [radiograph_nodes.xray_from_node(node) for node in nodes]
        with scene.operation(*nodes) as adding:
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
            with adding():
                return results.add(found, nodes, name or f"Reconstruction {views}", fuse)

    def segment(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, name: str | None = None) -> slicer.vtkMRMLSegmentationNode:
        """Body, lungs and bone of a CT or a reconstruction, with closed surfaces, in the folder of that volume."""
        from XRayTo3DLib.anatomy.segmentation import segment_ct

        labelmap = segment_ct(_ct(volumeNode))
        with scene.all_or_nothing():
            title = scene.unique_name(name or f"{volumeNode.GetName()} segmentation")
            node = segmentation_nodes.segmentation_to_node(labelmap, title, volumeNode)
            provenance.stamp(node, [volumeNode])
            scene.put(node, scene.folder_of(volumeNode))
        return node

    def extractSurfaces(self, segmentationNode: slicer.vtkMRMLSegmentationNode) -> list[slicer.vtkMRMLModelNode]:
        """One closed surface a segment as a model, its volume in mL as an attribute; empty segments are left out."""
        from XRayTo3DLib.anatomy.surfaces import extract_surfaces

        surfaces = extract_surfaces(segmentation_nodes.segmentation_from_node(_given(segmentationNode, "segmentation")))
        if not surfaces:
            raise InputError(f"All segments of {segmentationNode.GetName()} are empty: there is no surface to extract.")
        with scene.all_or_nothing():
            added = []
            for order, surface in enumerate(surfaces):
                node = model_nodes.surface_to_node(surface, order)
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
        from XRayTo3DLib.evaluation import comparison

        estimate, ct = _ct(reconstructionNode), _ct(ctNode)
        try:
            found = comparison.compare_with_ct(ct, {"reconstruction": estimate})
        except InputError as error:
            raise InputError(f"{reconstructionNode.GetName()} cannot be compared with {ctNode.GetName()}: {error}") from None
        return {
            "reconstruction": reconstructionNode.GetName(),
            "ct": ctNode.GetName(),
            "range": comparison.RANGE,
            "structures": {},
            **found.figures["reconstruction"],
        }

    def showProjection(self, radiographNode: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLModelNode]:
        """The beam of a radiograph and its picture at the detector as two models; those shown before are replaced."""
        radiograph = radiograph_nodes.radiograph_from_node(_given(radiographNode, "radiograph"))
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

    def models(self) -> list[ModelFile]:
        """The models in the search path, with their cards."""
        from XRayTo3DLib.models.zoo import find_models

        return find_models()


#: What a node that is asked for must be.
_CLASSES = {
    "volume": "vtkMRMLScalarVolumeNode",
    "radiograph": "vtkMRMLScalarVolumeNode",
    "segmentation": "vtkMRMLSegmentationNode",
}


def _given(node: Any, kind: str) -> Any:
    """The node itself, if it is of the kind that is needed, and in the scene."""
    if node is None:
        raise InputError(f"No {kind} is chosen: choose one.")
    if not isinstance(node, slicer.vtkMRMLNode):
        raise InputError(f"{node!r} is no node of the scene: give a {kind} node, as slicer.util.getNode finds it by its name.")
    if not node.IsA(_CLASSES[kind]):
        raise InputError(f"{node.GetName()} is no {kind}: choose one.")
    if node.GetScene() is not slicer.mrmlScene:
        raise InputError(f"{node.GetName()} is not in the scene (any more): choose a {kind} that is.")
    return node


def _ct(node: slicer.vtkMRMLScalarVolumeNode) -> Any:
    """The volume of a node, checked to be in HU."""
    volume = volume_nodes.volume_from_node(_given(node, "volume"))
    check_ct(volume, node.GetName())
    return volume
