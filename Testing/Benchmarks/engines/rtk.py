"""RTK, the Reconstruction Toolkit: Joseph's forward projection and its adjoint (package itk-rtk)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import itk
import numpy as np
from itk import RTK as rtk  # noqa: N811

from engines import version_of
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection

_IMAGE = itk.Image[itk.F, 3]


class RTK:
    name = "RTK Joseph"
    versions = {"itk-rtk": version_of("itk-rtk")}
    model = "trilinear"
    slow = False
    environment: dict[str, str] = {}

    def __init__(self, mu: np.ndarray, grid: Grid) -> None:
        # RTK's geometry turns about the world's origin: the volume is moved there, and every view with it.
        self.pivot = grid.centre
        self.volume = itk.image_from_array(mu)
        self.volume.SetOrigin([float(v) for v in np.array(grid.origin) - self.pivot])
        self.volume.SetSpacing(list(grid.spacing))
        self.volume.SetDirection(itk.matrix_from_array(np.array(grid.direction)))

    @staticmethod
    def use_threads(count: int) -> int:
        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(count)
        return int(itk.MultiThreaderBase.GetGlobalDefaultNumberOfThreads())

    def project(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        stack = self._stack(projections)
        forward = rtk.JosephForwardProjectionImageFilter[_IMAGE, _IMAGE].New()
        forward.SetInput(0, stack.GetOutput())
        forward.SetInput(1, self.volume)
        forward.SetGeometry(self._geometry(projections))
        forward.Update()
        pictures = itk.array_view_from_image(forward.GetOutput())
        return [_upright(picture, view) for picture, view in zip(pictures, projections, strict=True)]

    def preview(self, projections: Sequence[Projection]) -> list[np.ndarray]:
        """It has one quality."""
        return self.project(projections)

    def volume_gradient(self, projection: Projection, weights: Any) -> np.ndarray:
        """The forward projection, and the adjoint that its gradient is."""
        self.project([projection])
        picture = itk.image_from_array(np.ascontiguousarray(_upright(weights.numpy(), projection)[None]))
        stack = self._stack([projection])
        stack.UpdateOutputInformation()
        picture.SetOrigin(stack.GetOutput().GetOrigin())
        picture.SetSpacing(stack.GetOutput().GetSpacing())
        empty = rtk.ConstantImageSource[_IMAGE].New()
        empty.SetInformationFromImage(self.volume)
        back = rtk.JosephBackProjectionImageFilter[_IMAGE, _IMAGE].New()
        back.SetInput(0, empty.GetOutput())
        back.SetInput(1, picture)
        back.SetGeometry(self._geometry([projection]))
        back.Update()
        return itk.array_from_image(back.GetOutput())

    def _geometry(self, projections: Sequence[Projection]) -> Any:
        geometry = rtk.ThreeDCircularProjectionGeometry.New()
        for view in projections:
            if view.source is None:
                raise ValueError("this adapter has cone beams only")
            # RTK's detector faces the source; a picture shown from the tube is turned over instead.
            down = view.column_direction * (1 if view.is_mirrored else -1)
            vectors = view.source - self.pivot, view.centre - self.pivot, view.row_direction, down
            if not geometry.AddProjection(*(list(map(float, vector)) for vector in vectors)):
                raise ValueError("RTK refuses this geometry")
        return geometry

    @staticmethod
    def _stack(projections: Sequence[Projection]) -> Any:
        (rows, columns), (row_spacing, column_spacing) = projections[0].size, projections[0].spacing
        stack = rtk.ConstantImageSource[_IMAGE].New()
        stack.SetSize([columns, rows, len(projections)])
        stack.SetSpacing([column_spacing, row_spacing, 1.0])
        stack.SetOrigin([-(columns - 1) / 2 * column_spacing, -(rows - 1) / 2 * row_spacing, 0.0])
        return stack


def _upright(picture: np.ndarray, view: Projection) -> np.ndarray:
    return picture if view.is_mirrored else picture[::-1]
