"""Runs models of the interface ``shape-vae/1``: one X-ray, with or without a drawn outline, to an organ and its modes of shape.

The model says from the picture where the organ is; it is shown the picture about that place again until the place stays. A mask
tells the place at once, but for the depth. See :mod:`.organ_frame` for how geometry comes in and goes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.models.zoo import LoadedModel
from XRayTo3DLib.progress import Progress
from XRayTo3DLib.shapes.base import Masks, ShapeEstimate, check_limits
from XRayTo3DLib.shapes.methods.organ_frame import check_view, cube_at, find_place

#: The probability from which voxels belong to the organ is chosen within this range.
_THRESHOLDS = (0.2, 0.6)


class ShapeVaeSystem:
    """Variational auto-encoders of organ shapes, and what is built like them."""

    name = "shape VAE"
    interface = "shape-vae/1"

    def check(self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks) -> None:
        """Raise :class:`InputError` for an organ, a view or a missing mask that the model's card does not allow."""
        model = needed(model)
        check_limits(model, radiographs, organ)
        check_view(model.file.card, radiographs[0])
        if model.file.card["inputs"].get("masks") == "required" and masks[0] is None:
            raise InputError(
                f"The model {model.file.name} takes a drawn outline of the {organ}: draw one, or choose another model."
            )

    def run(
        self, model: LoadedModel | None, radiographs: Sequence[Radiograph], organ: str, masks: Masks, progress: Progress
    ) -> ShapeEstimate:
        """The organ in a cube of 64^3 voxels around where it was found."""
        model = needed(model)
        takes = model.file.card["inputs"].get("masks", "none") != "none"
        mask = masks[0] if takes else None

        def look(picture: torch.Tensor, drawn: torch.Tensor | None) -> tuple[np.ndarray, np.ndarray]:
            latent, offset = model(picture, drawn)
            return latent[0].numpy(), offset[0].double().numpy()

        spacing = float(model.file.card["outputs"]["grid"]["spacing_mm"][0])
        place = find_place(radiographs[0], look, mask, spacing, progress)
        notes = () if mask is not None or masks[0] is None else (f"The model {model.file.name} takes no outline: it was not used.",)
        return replace(decoded(model, place.answer, place.centre), notes=notes)


def decoded(model: LoadedModel, latent: np.ndarray, centre: np.ndarray) -> ShapeEstimate:
    """The shape at latent coordinates, around ``centre`` (LPS mm).

    What the picture leaves open is spread over more voxels than the organ fills, none of them likely: the threshold is set so that
    as many voxels are taken as the probabilities sum up to, which is the volume to be expected.
    """
    spacing = float(model.file.card["outputs"]["grid"]["spacing_mm"][0])
    with torch.no_grad():
        cube = model.module.decode(torch.as_tensor(latent, dtype=torch.float32)[None])[0, 0].numpy()
    grid = cube_at(centre, spacing)
    count = float(cube.sum(dtype=np.float64))
    ordered = np.sort(cube, axis=None)
    threshold = float(np.clip(ordered[max(0, len(ordered) - 1 - round(count))], *_THRESHOLDS))
    volume = Volume(np.clip(cube, 0, 1), grid, "1")
    expected = count * spacing**3 / 1000
    return ShapeEstimate(volume, threshold=threshold, volume_ml=expected or None, latent=latent.astype(np.float64))


def modes(model: LoadedModel, estimate: ShapeEstimate, weights: Sequence[float]) -> ShapeEstimate:
    """The estimate moved along its model's modes of shape, for sliders.

    The modes are the principal axes of the latent coordinates of the training shapes, the widest first; ``weights`` are in
    standard deviations of them, as many as are wanted. 0 everywhere gives the estimate again. Raises :class:`InputError` for an
    estimate without latent coordinates, more weights than modes, and weights that are not finite.
    """
    if estimate.latent is None:
        raise InputError("This shape has no modes: it is not by a model that has some, such as a shape VAE.")
    axes = mode_axes(model)
    told = np.asarray(weights, dtype=np.float64)
    if told.ndim != 1 or len(told) > len(axes) or not np.isfinite(told).all():
        raise InputError(f"The weights of the modes of shape are not up to {len(axes)} finite numbers: give one a mode.")
    moved = decoded(model, estimate.latent + told @ axes[: len(told)], estimate.probability.grid.centre)
    return replace(moved, latent=estimate.latent, notes=estimate.notes)


def mode_axes(model: LoadedModel) -> np.ndarray:
    """The modes of shape (modes, latent) of a model, each one standard deviation long, the widest first."""
    _, covariance = model.module.spread()
    variances, axes = np.linalg.eigh(covariance.double().numpy())
    return (axes * np.sqrt(np.maximum(variances, 0))).T[::-1]


def needed(model: LoadedModel | None) -> LoadedModel:
    """The model; :class:`InputError` when there is none."""
    if model is None:
        raise InputError("A shape VAE needs a model: name one, or choose a system that needs none.")
    return model
