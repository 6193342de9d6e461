"""Figures of a parametrized X-ray: of the image, of markers, of drags."""

from __future__ import annotations

from typing import Any

import numpy as np

from XRayTo3DLib.evaluation.parametrized.cases import Case
from XRayTo3DLib.evaluation.similarity import ms_ssim
from XRayTo3DLib.parametrized.augment import track
from XRayTo3DLib.parametrized.loop import MarkersAndImage, State, settle

#: A marker is dragged by this far; what lies farther from it than the other is the rest of the image.
DRAG_MM, FAR_MM = 10.0, 60.0
#: Landmarks that are dragged where they are there, at most so many a case.
_DRAGGED = ("chin_bone", "chin", "lung_bottom_left", "lung_top_left", "larynx", "mandible_angle_right", "dome_right", "heart")
_MOST = 2
#: Half a side of the patch whose way in the image is measured, in pixels.
_PATCH = 5


def image_figures(truth: np.ndarray, estimate: np.ndarray, body: np.ndarray, range_: float) -> dict[str, float]:
    """``mae`` over the whole picture and ``mae_body`` over the body's pixels, as shares of the range; ``ms_ssim`` on [0, range]."""
    difference = np.abs(estimate - truth) / range_
    first, second = (np.clip(picture / range_, 0, 1) for picture in (truth, estimate))
    return {
        "mae": float(difference.mean()),
        "mae_body": float(difference[body].mean()) if body.any() else float("nan"),
        "ms_ssim": ms_ssim(first, second),
    }


def marker_figures(case: Case, points: np.ndarray, names: tuple[str, ...]) -> tuple[float, dict[str, float | None]]:
    """Mean distance in mm in the picture over the landmarks that CT and answer both have, and that of each, by name."""
    spacing = np.array(case.example.surface.projection.spacing)
    way = np.linalg.norm((points - case.example.points) * spacing, axis=1)
    known = case.example.valid & np.isfinite(way)
    each = {name: float(way[i]) if known[i] else None for i, name in enumerate(names)}
    return (float(way[known].mean()) if known.any() else float("nan")), each


def drag_figures(networks: MarkersAndImage, first: State, range_: float) -> list[dict[str, Any]]:
    """One row a drag of 10 mm towards head or feet: where it ends and what the image does.

    - ``mm_off``: how far from where it was put the marker ends; ``found_mm_off``: how far from there the marker network, asked
      anew, finds it in the image that results;
    - ``image_mm``: how far the image around the marker went in the direction of the drag, by correlation of patches;
    - ``far_change``: mean change in the body farther than 60 mm from the marker, as a share of the range;
    - ``return_mae``: mean difference to the first image after dragging back, as a share of the range;
    - ``rounds``, ``converged``.
    """
    rows = []
    spacing = np.array(first.surface.projection.spacing)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in first.xray.shape), indexing="ij"), axis=-1)
    there = [name for name in _DRAGGED if name in first.names and first.present[first.names.index(name)]][:_MOST]
    for number, name in enumerate(there):
        index = first.names.index(name)
        start = first.points[index]
        up = DRAG_MM if number % 2 else -DRAG_MM
        put = np.clip(first.shifted(name, 0.0, up), 0, np.array(first.xray.shape) - 1.0)
        moved = settle(networks, first, {name: put})
        found, _ = networks.markers(moved.surface.array, moved.xray)
        off, found_off = (float(np.linalg.norm((points[index] - put) * spacing)) for points in (moved.points, found))
        way = (put - start) * spacing
        reach = int(np.ceil(2 * DRAG_MM / spacing.min()))
        seen = track(first.xray, moved.xray, start, reach, _PATCH)
        along = None if seen is None else float((seen - start) * spacing @ way / max(np.linalg.norm(way), 1e-9))
        far = (np.linalg.norm((grid - start) * spacing, axis=-1) > FAR_MM) & moved.surface.silhouette
        back = settle(networks, moved, {name: start})
        rows.append(
            {
                "marker": name,
                "mm_off": off,
                "found_mm_off": found_off if np.isfinite(found_off) else None,
                "image_mm": along,
                "far_change": float(np.abs(moved.xray - first.xray)[far].mean()) / range_ if far.any() else None,
                "return_mae": float(np.abs(back.xray - first.xray).mean()) / range_,
                "rounds": moved.rounds,
                "converged": moved.converged,
            }
        )
    return rows
