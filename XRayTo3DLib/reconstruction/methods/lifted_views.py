"""``lifted-views/1``: a network that is told each view's picture on a virtual detector and where every voxel falls on it.

The model is called once with ``(images, matrices, beams, affine, size)`` and answers ``(1, C, z, y, x)``:

- ``images`` (1, V, N, N) float32: line integrals on the virtual detectors (:mod:`.virtual_detector`), over those of 32 voxels of
  water; square, pixels of one voxel;
- ``matrices`` (1, V, 4, 4): LPS mm (x, y, z, 1) to (column w, row w, depth w', w): divide the first two by the last for the pixel;
  the third is the depth along the beam in voxels from the grid's centre;
- ``beams`` (1, V, 4): the beam's direction in the grid's axes, and the grid's width over the source's distance (0: parallel);
- ``affine`` (4, 4): voxel index (x, y, z, 1) to LPS mm; ``size``: the voxels in z, y, x.

Scanned beams, which no such matrix describes, reach the model as cones that see the same (:mod:`.scanned_views`).

Channel 0 is attenuation over that of water (0.0193 / mm), channel 1, where there is one, its standard deviation. Both are finite
and not negative. A card with ``"mirror_averaging": true`` asks that the answer be averaged with that to the mirrored patient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.fusion.iterative import fuse
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER, Volume
from XRayTo3DLib.memory import check_memory
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.methods import scanned_views, virtual_detector
from XRayTo3DLib.reconstruction.methods.base import Estimate, check_limits

#: Share of a card's range by which a picture may leave it: noise around air is a little below zero.
_BEYOND_RANGE = 0.01
#: What the bundled network needs at least (measured); others are asked for no less.
_BYTES_A_VOXEL = 300


class LiftedViews:
    """Any number of views, each with its own geometry, to a volume. See the module for what the model gets and gives."""

    name = interface = "lifted-views/1"

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid) -> None:
        card = needed(model).file.card
        check_limits(needed(model), radiographs, grid, stands_in=True)
        size = " x ".join(map(str, grid.size))
        voxels = float(np.prod(grid.size, dtype=np.float64))
        check_memory(_BYTES_A_VOXEL * voxels, f"The model {card['name']} on {size} voxels", "choose fewer or larger voxels")
        if "range" not in card["inputs"]:
            return
        low, high = card["inputs"]["range"]
        slack = _BEYOND_RANGE * (high - low)
        for radiograph in (r for r in radiographs if r.calibrated):
            (picture,) = scanned_views.pictures([radiograph], scanned_views.stand_ins([radiograph], grid, None), grid)
            image = picture / virtual_detector.scale(grid)
            if image.min() < low - slack or image.max() > high + slack:
                raise InputError(
                    f"The model {card['name']} takes pictures of {low:g} to {high:g} ({card['inputs']['unit']}), but "
                    f"{radiograph.name or 'a view'} has {image.min():.3g} to {image.max():.3g}: check its calibration or choose "
                    "another model."
                )

    def run(
        self, model: LoadedModel | None, radiographs: Sequence[Radiograph], grid: Grid, progress: Progress = silent
    ) -> Estimate:
        loaded = needed(model)
        card = loaded.file.card
        multiple = int(card["outputs"]["grid"].get("multiple_of", 1))
        padded = grid.padded(0, [-n % multiple for n in grid.size])
        mirrored, estimate, distance = card.get("mirror_averaging", False), None, None
        if any(r.projection.is_scanned for r in radiographs):
            distance = scanned_views.distance_for(card)
            virtual = scanned_views.stand_ins(radiographs, padded, scanned_views.first_distance_for(card))
            first = _answer(loaded, scanned_views.pictures(radiographs, virtual, padded), virtual, padded)
            progress(0.3, "the scanned views as beams that stand still")
            estimate = fuse(Volume(MU_WATER * first[0], padded, "1/mm"), radiographs, iterations=scanned_views.ROUNDS).volume
        virtual = scanned_views.stand_ins(radiographs, padded, distance)
        images = scanned_views.pictures(radiographs, virtual, padded, estimate)
        output = _answer(loaded, images, virtual, padded)
        if mirrored:
            # The mirrored patient under mirrored beams is as likely a patient: the mean of both answers is better than either.
            progress(0.5 if estimate is None else 0.7, "the mirrored patient")
            output = 0.5 * (output + _answer(loaded, images, virtual, padded, mirrored=True))
        cut = MU_WATER * output[:, : grid.shape[0], : grid.shape[1], : grid.shape[2]]
        volumes = [Volume(np.ascontiguousarray(channel), grid, "1/mm") for channel in cut]
        progress(1.0, f"model {loaded.file.name}")
        return Estimate(volumes[0], volumes[1] if len(volumes) > 1 else None)


def _answer(
    model: LoadedModel, images: Sequence[np.ndarray], virtual: Sequence[Projection], grid: Grid, mirrored: bool = False
) -> np.ndarray:
    """The model's answer to pictures on virtual detectors, in its own units (C, z, y, x); by way of the mirrored patient if so."""
    seen = np.stack(images) / virtual_detector.scale(grid)
    matrices = np.stack([virtual_detector.matrix(p, grid) for p in virtual])
    beams = np.stack([virtual_detector.beam(p, grid) for p in virtual])
    if not mirrored:
        return run_network(model, seen, matrices, beams, grid)
    turned = virtual_detector.mirrored(matrices, beams, grid, seen.shape[2])
    return run_network(model, seen[:, :, ::-1], *turned, grid)[..., ::-1]


def needed(model: LoadedModel | None) -> LoadedModel:
    """The model; :class:`InputError` when there is none."""
    if model is None:
        raise InputError("The method lifted-views/1 needs a model: name one.")
    return model


def run_network(model: LoadedModel, images: np.ndarray, matrices: np.ndarray, beams: np.ndarray, grid: Grid) -> np.ndarray:
    """The model's answer to (V, N, N), (V, 4, 4) and (V, 4): float32 (C, z, y, x), its shape and values checked."""
    tensors = [torch.as_tensor(np.ascontiguousarray(a), dtype=torch.float32).unsqueeze(0) for a in (images, matrices, beams)]
    output = model(*tensors, torch.tensor(grid.affine, dtype=torch.float32), list(grid.shape))
    wanted = f"(1, 1 or 2, {', '.join(map(str, grid.shape))})"
    if not isinstance(output, torch.Tensor) or output.is_complex():
        raise InputError(
            f"The model {model.file.name} gave {type(output).__name__}, not a real tensor {wanted}: correct the model."
        )
    if output.ndim != 5 or output.shape[0] != 1 or output.shape[1] not in (1, 2) or output.shape[2:] != grid.shape:
        raise InputError(f"The model {model.file.name} gave the shape {tuple(output.shape)}, not {wanted}: correct the model.")
    values = output[0].float().numpy()
    if not np.isfinite(values).all():
        raise InputError(f"The model {model.file.name} gave values that are not finite: use another model or other X-rays.")
    if float(values.min()) < 0:
        raise InputError(f"The model {model.file.name} gave values below 0 (to {values.min():.3g}): let it clamp its output at 0.")
    return values
