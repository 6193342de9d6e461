"""Volumes from X-rays, and the models that make them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.progress import Progress, part, silent
from XRayTo3DSlicer.logic import checks
from XRayTo3DSlicer.nodes import radiograph_nodes, results, scene

if TYPE_CHECKING:
    from XRayTo3DLib.models.zoo import ModelFile


class ReconstructionLogic:
    """The part of :class:`Logic` that reconstructs."""

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

        nodes = [checks.given(node, "radiograph") for node in radiographNodes]
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

    def models(self) -> list[ModelFile]:
        """The models in the search path, with their cards."""
        from XRayTo3DLib.models.zoo import find_models

        return find_models()
