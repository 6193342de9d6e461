"""X-rays of a CT and of its segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import slicer

from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.geometry.vectors import ArrayLike
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DSlicer.logic import checks, poses
from XRayTo3DSlicer.nodes import provenance, radiograph_nodes, scene, segmentation_nodes


class SimulationLogic:
    """The part of :class:`Logic` that simulates."""

    def renderDRR(
        self,
        ctNode: slicer.vtkMRMLScalarVolumeNode,
        view: str | Sequence[str] = "AP",
        size: tuple[int, int] | None = None,
        spacing: float | None = None,
        sourceToDetector: float | None = None,
        sourceToIsocentre: float | None = None,
        parallel: bool = False,
        projection: Projection | ArrayLike | Sequence[Projection | ArrayLike] | None = None,
        name: str | None = None,
        progress: Progress = silent,
        beam: str = "cone",
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
        - ``beam``: cone, parallel, or scanned (source and detector travel along the patient, as for a CT's topogram);
          ``parallel``: the same as beam="parallel";
        - ``sourceToDetector``, ``sourceToIsocentre``: mm (1500, and 0.8 of it; of a scanned beam 1085 and 595);
        - ``projection``: an exact geometry in place of all that, or several; ``view`` is then only the view's name. A
          3x4 matrix (LPS mm to column and row) is one too, with ``size`` and, if it is not 1 mm, ``spacing``, and so is a file
          that :mod:`XRayTo3DLib.io.projections` reads (JSON, a matrix, a camera of Autoscoper, RTK's geometry);
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
        volume = checks.ct(ctNode)
        asked = poses.poses(
            volume.grid, view, size, spacing, sourceToDetector, sourceToIsocentre, "parallel" if parallel else beam, projection
        )
        shapes, sources = poses.insertsOf(inserts)
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
            if asked.notes:
                radiographs = [replace(one, notes=(*told, *one.notes)) for one, told in zip(radiographs, asked.notes, strict=True)]
            with adding():
                for radiograph in radiographs:
                    own = f"{name} {radiograph.name}" if name and asked.several else name
                    title = scene.unique_name(own or f"{ctNode.GetName()} {radiograph.name}")
                    added.append(radiograph_nodes.radiograph_to_node(radiograph, title))
                    provenance.stamp(added[-1], [ctNode, *sources])
                    if projection is None and radiograph.projection.is_cone:  # a projection does not know where its beam is aimed
                        provenance.write(added[-1], Isocentre=volume.grid.centre.tolist())
        return added if asked.several else added[0]

    def renderStructures(
        self,
        segmentationNode: slicer.vtkMRMLSegmentationNode,
        view: str | Sequence[str] = "AP",
        size: tuple[int, int] | None = None,
        spacing: float | None = None,
        sourceToDetector: float | None = None,
        sourceToIsocentre: float | None = None,
        parallel: bool = False,
        projection: Projection | ArrayLike | Sequence[Projection | ArrayLike] | None = None,
        name: str | None = None,
        progress: Progress = silent,
        beam: str = "cone",
        *,
        ctNode: slicer.vtkMRMLScalarVolumeNode | None = None,
    ) -> list[Any]:
        """Each segment alone, as an X-ray node a segment in a folder of its view; for several views, a list for each.

        Without ``ctNode`` the pixels are path lengths in mm. With it they are line integrals of what the CT attenuates
        inside the segment, and views aim at the middle of the CT, as in :meth:`renderDRR`, whose geometry is meant by all
        other arguments. Segments may overlap. The nodes are of the type Structure and carry the segment's name.
        """
        volume = None if ctNode is None else checks.ct(ctNode)
        labelmaps = segmentation_nodes.structures_from_node(checks.given(segmentationNode, "segmentation"))
        grid = labelmaps[0].grid if volume is None else volume.grid
        asked = poses.poses(
            grid, view, size, spacing, sourceToDetector, sourceToIsocentre, "parallel" if parallel else beam, projection
        )
        title = name or segmentationNode.GetName()
        sources = [segmentationNode] if ctNode is None else [segmentationNode, ctNode]
        added: list[list[Any]] = []
        with scene.operation(*sources) as adding:
            found = poses.structureRadiographs(labelmaps, asked, volume, progress)
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
