"""The pictures of a report, as PNG bytes: X-rays, slices beside the truth, residuals, uncertainty."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from XRayTo3DLib.anatomy.surfaces import Surface
from XRayTo3DLib.images.display import to_display
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_hu
from XRayTo3DLib.reconstruction.calibration.scale import Scale
from XRayTo3DLib.report.rendering import render

#: HU shown black and white in slices: lungs, soft tissue and bone at once.
WINDOW = (-1000.0, 800.0)
_DPI = 110
_INK = "#1f2933"


def inputs(radiographs: Sequence[Radiograph]) -> bytes:
    """The X-rays as films."""
    figure, axes = panels(1, len(radiographs), 4.3, 4.4)
    for axis, radiograph in zip(axes[0], radiographs, strict=True):
        axis.imshow(to_display(radiograph), cmap="gray", extent=detector_extent(radiograph))
        axis.set_title(radiograph.name, parse_math=False, color=_INK, fontsize=11)
    return png(figure)


def slices(columns: Sequence[tuple[str, Volume]]) -> bytes:
    """Axial, coronal and sagittal middle slices of LPS-aligned volumes, a column a volume, all in the same window."""
    figure, axes = panels(3, len(columns), 2.75, 2.75)
    for number, (title, volume) in enumerate(columns):
        array = to_hu(volume).array
        extent = [n * s for n, s in zip(volume.grid.size, volume.grid.spacing, strict=True)]
        middle = [n // 2 for n in array.shape]
        cuts = [
            ("axial", array[middle[0]], "upper", (extent[0], extent[1])),
            ("coronal", array[:, middle[1]], "lower", (extent[0], extent[2])),
            ("sagittal", array[:, :, middle[2]], "lower", (extent[1], extent[2])),
        ]
        for row, (name, cut, origin, (width, height)) in enumerate(cuts):
            axis = axes[row][number]
            shown = (0, width, height, 0) if origin == "upper" else (0, width, 0, height)
            axis.imshow(cut, cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1], origin=origin, extent=shown)
            if row == 0:
                axis.set_title(title, parse_math=False, color=_INK, fontsize=10)
            if number == 0:
                axis.set_ylabel(name, parse_math=False, color=_INK, fontsize=10)
    return png(figure)


def residuals(
    radiographs: Sequence[Radiograph], before: Sequence[np.ndarray], after: Sequence[np.ndarray], scale: float = 0.1
) -> bytes:
    """For each view: measured, re-projected, and the difference before and after fusion.

    Differences are coloured up to ``scale`` times the view's largest line integral.
    """
    figure, axes = panels(len(radiographs), 4, 2.75, 2.7)
    for row, (radiograph, first, last) in enumerate(zip(radiographs, before, after, strict=True)):
        measured = (
            radiograph.line_integrals
            if radiograph.valid is None
            else np.ma.array(radiograph.line_integrals, mask=~radiograph.valid)
        )
        top = float(np.percentile(radiograph.line_integrals[... if radiograph.valid is None else radiograph.valid], 99.8)) or 1.0
        extent = detector_extent(radiograph)
        for axis, picture in zip(axes[row], (measured, last), strict=False):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=top, extent=extent)
        for axis, picture in zip(axes[row][2:], (first, last), strict=True):
            limit = scale * top
            shown = axis.imshow(picture - measured, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent)
        bar = figure.colorbar(shown, ax=axes[row][3], shrink=0.8, pad=0.03)
        bar.ax.tick_params(labelsize=8, colors=_INK)
        axes[row][0].set_ylabel(radiograph.name, parse_math=False, color=_INK, fontsize=10)
    for axis, title in zip(axes[0], ("measured", "re-projected", "difference before fusion", "after fusion"), strict=True):
        axis.set_title(title, parse_math=False, color=_INK, fontsize=10)
    return png(figure)


def calibrations(before: Sequence[Radiograph], after: Sequence[Radiograph], scales: Sequence[Scale | None]) -> bytes:
    """For each picture whose scale was fitted: as it was put in (left out in red), its curve, and its line integrals."""
    figure, axes = panels(len(before), 3, 3.4, 3.2)
    for row, (picture, used, scale) in enumerate(zip(before, after, scales, strict=True)):
        values = picture.line_integrals
        first, curve, last = axes[row]
        first.imshow(values, cmap="gray", extent=detector_extent(picture))
        if picture.valid is not None:
            hidden = np.ma.masked_where(picture.valid, np.ones(values.shape))
            first.imshow(hidden, cmap="autumn", vmin=1, vmax=2, extent=detector_extent(picture))
        last.imshow(used.line_integrals, cmap="gray", vmin=0, extent=detector_extent(used))
        at = np.linspace(float(values.min()), float(values.max()), 200)
        curve.set_facecolor("white")
        curve.plot(at, at if scale is None else scale.curve(at), color=_INK)
        curve.set_xticks([at[0], at[-1]])
        curve.tick_params(labelsize=8, colors=_INK)
        curve.set_yticks([0, round(float(used.line_integrals.max()), 1)])
        first.set_ylabel(picture.name, parse_math=False, color=_INK, fontsize=10)
    for axis, title in zip(axes[0], ("as put in", "line integral of each value", "line integrals"), strict=True):
        axis.set_title(title, parse_math=False, color=_INK, fontsize=10)
    return png(figure)


def uncertainty(columns: Sequence[tuple[str, Volume]]) -> bytes:
    """Coronal and sagittal middle slices of the model's standard deviation (volumes in 1/mm), shown in HU."""
    figure, axes = panels(2, len(columns), 3.6, 3.3)
    white = max(float(np.percentile(volume.array, 99.5)) for _, volume in columns) / MU_WATER * 1000
    for number, (title, volume) in enumerate(columns):
        array = volume.array / MU_WATER * 1000
        extent = [n * s for n, s in zip(volume.grid.size, volume.grid.spacing, strict=True)]
        middle = [n // 2 for n in array.shape]
        cuts = [(array[:, middle[1]], extent[0], "coronal"), (array[:, :, middle[2]], extent[1], "sagittal")]
        for row, (cut, width, name) in enumerate(cuts):
            axis = axes[row][number]
            shown = axis.imshow(cut, cmap="inferno", vmin=0, vmax=white, origin="lower", extent=(0, width, 0, extent[2]))
            if row == 0:
                axis.set_title(title, parse_math=False, color=_INK, fontsize=10)
            if number == 0:
                axis.set_ylabel(name, parse_math=False, color=_INK, fontsize=10)
    scale = figure.colorbar(shown, ax=[axis for row in axes for axis in row], shrink=0.6, pad=0.02)
    scale.set_label("standard deviation, HU", color=_INK, fontsize=9)
    scale.ax.tick_params(labelsize=8, colors=_INK)
    return png(figure)


def surfaces(groups: Sequence[tuple[str, Sequence[Surface]]]) -> bytes:
    """Surfaces side by side on the same scale, a panel a group, with its title."""
    drawn = render([surfaces for _, surfaces in groups])
    figure, axes = panels(1, len(groups), 3.4, 3.6)
    for axis, panel, (title, _) in zip(axes[0], np.split(drawn, len(groups), axis=1), groups, strict=True):
        axis.imshow(panel)
        axis.set_title(title, parse_math=False, color=_INK, fontsize=10)
    return png(figure)


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of axes without ticks, [row, column], each ``width`` x ``height`` inches."""
    figure = Figure(figsize=(width * columns, height * rows), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_facecolor("black")
        for side in axis.spines.values():
            side.set_visible(False)
    return figure, axes


def detector_extent(radiograph: Radiograph) -> tuple[float, float, float, float]:
    """A detector's sides in mm, as the extent (left, right, bottom, top) of its picture."""
    rows, columns = radiograph.projection.size
    down, across = radiograph.projection.spacing
    return 0.0, columns * across, rows * down, 0.0


def png(figure: Figure) -> bytes:
    """A figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
