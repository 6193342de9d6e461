"""The landmark experiment of Teixeira et al. (CVPR 2018, table 2): a detector trained on parametrized and on translated images.

A place that is no landmark of the region (the centre of the outlined mandible, projected) is known in a few X-rays of training CTs.
Each is fitted by a parametrized X-ray, which is either moved as a whole or perturbed by its markers, its annotation going along; a
small fully convolutional network learns a heat map from either set and is measured on the CTs' own X-rays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from XRayTo3DLib.evaluation.parametrized.cases import Case
from XRayTo3DLib.parametrized.augment import augment
from XRayTo3DLib.parametrized.completion import complete
from XRayTo3DLib.parametrized.heat_maps import heat_map_points, heat_maps
from XRayTo3DLib.parametrized.loop import MarkersAndImage, settle, start
from XRayTo3DLib.parametrized.regions import Region
from XRayTo3DLib.progress import Progress, part, silent

#: The structure whose centre is looked for, by region.
TARGETS = {"head_neck": "mandible", "torso": "heart"}
#: Annotated images, variants of each, epochs, and after which of them the detector is measured.
_IMAGES, _VARIANTS, _EPOCHS, _MEASURED = 12, 12, 25, (1, 5, 10, 25)
_BATCH, _WIDTH, _SIGMA = 8, 12, 3.0
#: A translated image goes up to so many pixels.
_TRANSLATION = 12.0


class _Detector(nn.Module):
    """A fully convolutional network: one X-ray over its range to one heat map, at half the resolution inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, width, 5, 2, 2), nn.ReLU()]
        for dilation in (1, 2, 4, 8, 1):
            layers += [nn.Conv2d(width, width, 3, 1, dilation, dilation), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 1, 1), nn.Upsample(scale_factor=2, mode="bilinear"))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.layers(pictures)


def target_point(case: Case, structure: str) -> np.ndarray | None:
    """Row and column of the centre of a structure on the case's picture; ``None`` without it, or where the field cuts it."""
    mask = case.body.structures.get(structure)
    if mask is None or not mask.any():
        return None
    index = np.argwhere(mask)
    if index[:, 0].min() == 0 or index[:, 0].max() == mask.shape[0] - 1:
        return None
    projection = case.example.surface.projection
    point = projection.project(case.body.points(index).mean(axis=0)[None])[0, ::-1]
    return point if (point >= 0).all() and (point < projection.size).all() else None


def augmentation_table(
    networks: MarkersAndImage,
    region: Region,
    training: Sequence[Case],
    measured: Sequence[Case],
    seed: int = 0,
    progress: Progress = silent,
    epochs: int = _EPOCHS,
    variants: int = _VARIANTS,
) -> dict[str, Any] | None:
    """The table's rows: error in mm and mean squared error of the maps on ``measured``, after some epochs, for either set.

    ``None`` when fewer than three CTs on either side have the structure.
    """
    structure = TARGETS.get(region.name, "")
    known = [(case, point) for case in training if (point := target_point(case, structure)) is not None][:_IMAGES]
    tests = [(case, point) for case in measured if (point := target_point(case, structure)) is not None]
    if min(len(known), len(tests)) < 3:
        return None
    range_ = region.frame.range[known[0][0].example.surface.view]
    sets: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"parametrized": [], "translated": []}
    generator = np.random.default_rng(seed)
    for number, (case, point) in enumerate(known):
        progress(0.5 * number / len(known), f"Training images of {case.name}")
        surface = case.example.surface
        state = settle(networks, start(networks, region, surface))
        fitted = complete(networks, state, case.example.xray, np.ones(state.xray.shape, dtype=bool)).state
        for variant in augment(networks, fitted, variants, seed + number, {"target": point}):
            if "target" in variant.annotations:
                sets["parametrized"].append((variant.state.xray / range_, variant.annotations["target"]))
        for way in generator.uniform(-_TRANSLATION, _TRANSLATION, (variants, 2)):
            sets["translated"].append((ndimage.shift(fitted.xray / range_, way, order=1), point + way))
    rows = []
    spacing = float(known[0][0].example.surface.projection.spacing[0])
    for number, (name, images) in enumerate(sets.items()):
        own = part(progress, 0.5 + 0.25 * number, 0.75 + 0.25 * number)
        rows += [
            {"augmentation": name, "images": len(images), **row}
            for row in _learnt(images, tests, range_, spacing, seed, epochs, own)
        ]
    return {
        "about": f"A detector of the centre of the {structure} learns from {len(known)} annotated training CTs, {variants} images "
        f"each, and is measured on the X-rays of {len(tests)} CTs.",
        "target": structure,
        "training_cases": len(known),
        "cases": len(tests),
        "rows": rows,
    }


def _learnt(
    images: Sequence[tuple[np.ndarray, np.ndarray]],
    tests: Sequence[tuple[Case, np.ndarray]],
    range_: float,
    spacing: float,
    seed: int,
    epochs: int,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Train one detector and measure it after some epochs."""
    size = images[0][0].shape
    pictures = torch.as_tensor(np.stack([image for image, _ in images])[:, None], dtype=torch.float32)
    maps = heat_maps(torch.as_tensor(np.stack([point for _, point in images])[:, None], dtype=torch.float32), size, _SIGMA)
    test_pictures = torch.as_tensor(np.stack([case.example.xray / range_ for case, _ in tests])[:, None], dtype=torch.float32)
    points = torch.as_tensor(np.stack([point for _, point in tests])[:, None], dtype=torch.float32)
    truth = heat_maps(points, size, _SIGMA)
    rows = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = _Detector(_WIDTH)
        optimiser = torch.optim.Adam(detector.parameters(), 1e-3)
        for epoch in range(1, epochs + 1):
            progress(epoch / epochs, f"Detector, epoch {epoch}")
            for chosen in torch.randperm(len(pictures)).split(_BATCH):
                optimiser.zero_grad()
                # A map is nearly empty: its own weight keeps the network from an empty answer.
                weight = 1 + 50 * maps[chosen]
                (weight * (detector(pictures[chosen]) - maps[chosen]).square()).mean().backward()
                optimiser.step()
            if epoch in _MEASURED or epoch == epochs:
                with torch.no_grad():
                    found = detector(test_pictures)
                way = (heat_map_points(found, _SIGMA)[0] - points).square().sum(dim=-1).sqrt()
                rows.append(
                    {"epochs": epoch, "mse": float((found - truth).square().mean()), "error_mm": float(way.mean()) * spacing}
                )
    return rows
