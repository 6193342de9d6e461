"""The uses of a parametrized X-ray measured: completion of partial X-rays, and anomalies put into real CTs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from XRayTo3DLib.evaluation.parametrized.cases import Case
from XRayTo3DLib.evaluation.parametrized.figures import marker_figures
from XRayTo3DLib.evaluation.similarity import roc_auc
from XRayTo3DLib.images.resampling import resample_mask
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_hu
from XRayTo3DLib.parametrized.anomaly import THRESHOLD, find_anomaly
from XRayTo3DLib.parametrized.completion import complete
from XRayTo3DLib.parametrized.examples import body_xray
from XRayTo3DLib.parametrized.loop import MarkersAndImage, State

#: A rod of titanium: its radius and length in mm, and its attenuation in 1/mm at 70 keV (NIST XCOM: 0.55 cm^2/g, 4.5 g/cm^3).
_ROD_RADIUS, _ROD_LENGTH, _TITANIUM = 4.0, 40.0, 0.25
#: A removed lung is filled with fluid, a removed parotid leaves air (HU); what changes a pixel by less than this is not it.
_FLUID_HU, _AIR_HU, _LEAST_CHANGE = 10.0, -1000.0, 0.05


def completion_rows(
    networks: MarkersAndImage, case: Case, state: State, range_: float, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """One row for each part of the body that a partial X-ray shows: errors in the part that it does not show, before and after."""
    truth, body = case.example.xray, case.example.surface.silhouette
    rows = []
    for part, shown in _windows(body):
        done = complete(networks, state, truth, shown)
        unseen = body & ~shown
        if not unseen.any() or np.count_nonzero(shown & body) < 64:
            continue
        places = np.where(np.isfinite(case.example.points), case.example.points, 0)
        at = tuple(np.clip(np.round(places).astype(int), 0, np.array(shown.shape) - 1).T)
        hidden = case.example.valid & ~shown[at]
        found = {}
        for word, picture, points in (("before", state.xray, state.points), ("after", done.xray, done.state.points)):
            found[f"mae_{word}"] = float(np.abs(picture - truth)[unseen].mean()) / range_
            kept = np.where(hidden[:, None], points, np.nan)
            found[f"markers_mm_{word}"] = marker_figures(case, points, names)[0]
            found[f"unseen_markers_mm_{word}"] = marker_figures(case, kept, names)[0]
        rows.append({"case": case.name, "shown": part, **found})
    return rows


def _windows(body: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What partial X-rays show: the upper and the lower half of the body, its middle third, and its right side."""
    rows = np.flatnonzero(body.any(axis=1))
    columns = np.flatnonzero(body.any(axis=0))
    index = np.broadcast_to(np.arange(body.shape[0])[:, None], body.shape)
    across = np.broadcast_to(np.arange(body.shape[1]), body.shape)
    middle, third = (rows[0] + rows[-1]) / 2, (rows[-1] - rows[0]) / 6
    yield "upper half", index < middle
    yield "lower half", index >= middle
    yield "middle third", np.abs(index - middle) <= third
    yield "left half of the picture", across < (columns[0] + columns[-1]) / 2


@dataclass(frozen=True, eq=False)
class Planted:
    """An X-ray with something that was put in or taken out: ``changed`` bool [row, column]."""

    kind: str
    xray: np.ndarray
    changed: np.ndarray


def planted(case: Case, seed: int) -> list[Planted]:
    """A metal rod in the body's shadow; and, where they are in the field, a lung full of fluid and a parotid gland taken out."""
    truth = case.example.xray
    found = [_rod(case, np.random.default_rng(seed))]
    middle = case.body.midline
    for structure, kind, value in (("lungs", "removed lung", _FLUID_HU), ("parotid_left", "removed parotid", _AIR_HU)):
        mask = case.body.structures.get(structure)
        if mask is None:
            continue
        if structure == "lungs":
            x = case.body.grid.origin[0] + np.arange(mask.shape[2]) * case.body.grid.spacing[0]
            mask = mask & (x < middle)
            low = case.example.landmarks.get("neck_left")
            if low is not None:  # air of the throat is no lung
                mask = mask & (case.body.z(np.arange(len(mask))) < low[2])[:, None, None]
            if np.count_nonzero(mask) * case.body.grid.voxel_volume < 1e5:
                continue
        hu = to_hu(case.ct)
        inside = resample_mask(mask, case.body.grid, hu.grid)
        without = Volume(np.where(inside, np.float32(value), hu.array).astype(np.float32), hu.grid)
        xray = body_xray(without, case.body, case.example.surface.projection)
        changed = np.abs(xray - truth) > _LEAST_CHANGE
        if changed.any():
            found.append(Planted(kind, xray, changed))
    return found


def _rod(case: Case, generator: np.random.Generator) -> Planted:
    """The X-ray with a rod of titanium across the rays, at a random place and angle well inside the body's shadow."""
    spacing = case.example.surface.projection.spacing
    body = case.example.surface.silhouette & case.example.surface.field
    deep = ndimage.distance_transform_edt(np.pad(body, 1), sampling=spacing)[1:-1, 1:-1]
    inside = np.argwhere(deep >= min(0.6 * float(deep.max()), _ROD_LENGTH / 2))
    centre = inside[generator.integers(len(inside))]
    angle = generator.uniform(0, np.pi)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in body.shape), indexing="ij"), axis=-1)
    away = (index - centre) * spacing
    along, across = away @ [np.sin(angle), np.cos(angle)], away @ [np.cos(angle), -np.sin(angle)]
    # Means over a pixel of the chord, which is about as wide as the rod.
    fine = across[..., None] + np.linspace(-0.5, 0.5, 9) * spacing[1]
    chord = (2 * np.sqrt(np.maximum(_ROD_RADIUS**2 - fine**2, 0))).mean(axis=-1) * (np.abs(along) <= _ROD_LENGTH / 2)
    return Planted("metal rod", case.example.xray + ((_TITANIUM - MU_WATER) * chord).astype(np.float32), chord > 1.0)


def anomaly_rows(
    networks: MarkersAndImage, case: Case, state: State, range_: float, seed: int, threshold: float = THRESHOLD
) -> list[dict[str, Any]]:
    """One row for the healthy X-ray (its false area) and one for each planted anomaly (ROC AUC over the body's pixels)."""
    body = case.example.surface.silhouette & case.example.surface.field
    whole = max(int(np.count_nonzero(body)), 1)
    pixel = float(np.prod(case.example.surface.projection.spacing)) / 100
    healthy = find_anomaly(networks, state, case.example.xray, None, range_, threshold)
    rows = [
        {
            "case": case.name,
            "kind": "healthy",
            "auc": None,
            "area_cm2": float(np.count_nonzero(healthy.mask)) * pixel,
            "share": float(np.count_nonzero(healthy.mask)) / whole,
            "score": healthy.score,
        }
    ]
    for one in planted(case, seed):
        found = find_anomaly(networks, state, one.xray, None, range_, threshold)
        rows.append(
            {
                "case": case.name,
                "kind": one.kind,
                "auc": roc_auc(np.abs(found.difference)[body], one.changed[body]),
                "area_cm2": float(np.count_nonzero(found.mask)) * pixel,
                "share": float(np.count_nonzero(found.mask)) / whole,
                "score": found.score,
            }
        )
    return rows
