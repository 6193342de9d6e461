"""Landmarks measured in a CT, its labels, and the skin: each by the rule that its region states.

A landmark that lies outside the field, or whose structure is missing or cut, is absent: it is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.parametrized.body import Body, body_of_ct
from XRayTo3DLib.parametrized.regions import Region
from XRayTo3DLib.parametrized.skin import skin_points, wall_point

#: The farthest points of a structure are the mean of those within this many mm of the very farthest.
_FARTHEST_MM = 4.0
#: A slice of a structure at the height of another landmark: up to this far above and below it.
_LEVEL_MM = 4.0
#: A structure of fewer voxels is none.
_LEAST_VOXELS = 4


def measure(ct: Volume, labels: Labelmap | None, region: Region) -> dict[str, np.ndarray]:
    """The landmarks of a region in a CT, LPS mm by name, in the region's order; those that cannot be measured are absent.

    ``labels`` (on any grid) names the structures that rules ask for: those of ``XRayTo3DLib.shapes.organs``. Without it only
    landmarks of the skin and the lungs are found.
    """
    return measure_body(body_of_ct(ct, labels), region)


def measure_body(body: Body, region: Region, given: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """The landmarks of a region on a body and its structures; ``given`` ones (LPS mm) are taken as they are."""
    found: dict[str, np.ndarray] = {name: np.asarray(point, dtype=np.float64) for name, point in (given or {}).items()}
    skin: dict[str, np.ndarray] | None = None
    waiting = [one for one in region.landmarks if one.name not in found]
    while waiting:
        # Rules that stand on other landmarks come when those are known.
        open_names = {one.name for one in waiting}
        ready = [one for one in waiting if not open_names.intersection(one.stands_on)]
        if not ready:
            break
        for landmark in ready:
            rule = landmark.measure
            if rule["kind"] == "skin":
                skin = skin_points(body, given) if skin is None else skin
                point = skin.get(rule["point"])
            else:
                point = _RULES[rule["kind"]](body, rule, found)
            if point is not None:
                found[landmark.name] = point
        waiting = [one for one in waiting if one not in ready]
    return {name: found[name] for name in region.names if name in found}


def _structure(body: Body, rule: Mapping[str, Any]) -> np.ndarray | None:
    """LPS points (N, 3) of the voxels of a rule's structure, on its side of the midline."""
    mask = body.structures.get(rule["structure"])
    if mask is None:
        return None
    points = body.points(np.argwhere(mask))
    if "side" in rule:
        away = (points[:, 0] - body.midline) * (1 if rule["side"] == "left" else -1)
        points = points[away > rule.get("beyond_mm", 0.0)]
    return points if len(points) >= _LEAST_VOXELS else None


def _cut(body: Body, points: np.ndarray, up: float) -> bool:
    """Whether points reach the end of the field: the upper where ``up`` > 0, the lower where it is below 0, either at 0."""
    low, high = body.field_mm
    step = body.grid.spacing[2]
    below, above = points[:, 2].min() < low + step, points[:, 2].max() > high - step
    return bool((below and up <= 0) or (above and up >= 0))


def _centroid(body: Body, rule: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> np.ndarray | None:
    points = _structure(body, rule)
    return None if points is None or _cut(body, points, 0.0) else points.mean(axis=0)


def _extreme(body: Body, rule: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> np.ndarray | None:
    points = _structure(body, rule)
    direction = np.array(rule["direction"], dtype=np.float64)
    if points is None:
        return None
    if "below" in rule:
        if rule["below"] not in found:
            return None
        points = points[points[:, 2] < found[rule["below"]][2]]
        if len(points) < _LEAST_VOXELS:
            return None
    along = points @ (direction / np.linalg.norm(direction))
    point = points[along >= along.max() - _FARTHEST_MM].mean(axis=0)
    other = found.get(rule.get("above", ""))
    partly = "above" in rule and (other is None or point[2] < other[2] + rule["above_mm"])
    return None if partly or (direction[2] and _cut(body, points, float(np.sign(direction[2])))) else point


def _level(body: Body, rule: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> np.ndarray | None:
    points = _structure(body, rule)
    if points is None or rule["at"] not in found:
        return None
    height = found[rule["at"]][2]
    near = points[np.abs(points[:, 2] - height) <= max(_LEVEL_MM, body.grid.spacing[2])]
    return np.array([*near[:, :2].mean(axis=0), height]) if len(near) >= _LEAST_VOXELS else None


def _dome(body: Body, rule: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The highest point of a lung's lower face, away from its edge."""
    mask = body.structures.get(rule["structure"])
    points = _structure(body, rule)
    if mask is None or points is None or _cut(body, points, -1.0):
        return None
    floor = np.where(mask.any(axis=0), mask.argmax(axis=0), -1)
    x = body.grid.origin[0] + np.arange(mask.shape[2]) * body.grid.spacing[0] - body.midline
    own = (x if rule["side"] == "left" else -x) > rule.get("beyond_mm", 0.0)
    # The lower face of a lung is where there is much of it above: at its front and back edge the floor rises for other reasons.
    depth = mask.sum(axis=0) * body.grid.spacing[2]
    inner = (floor >= 0) & own[None, :] & (depth > 0.5 * np.percentile(depth[(floor >= 0) & own[None, :]], 90))
    if not inner.any():
        return None
    height = np.percentile(floor[inner], 95)
    rows = np.argwhere(inner & (floor >= height))
    return body.points(np.column_stack([np.full(len(rows), height), rows])).mean(axis=0)


def _skin_at(body: Body, rule: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if rule["at"] not in found:
        return None
    return wall_point(body, body.midline, float(found[rule["at"]][2]), rule["wall"])


_RULES = {"centroid": _centroid, "extreme": _extreme, "level": _level, "dome": _dome, "skin_at": _skin_at}
