"""This system as a task for the engine: the marker network, the image network, or both until they agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from XRayTo3DLib.parametrized.heat_maps import SIGMA, heat_map_points, heat_maps
from XRayTo3DLib.parametrized.networks import IMAGE, MARKER, PRESENT, XRAY_UNIT
from XRayTo3DLib.parametrized.regions import find_region
from XRayTo3DLib.training.checkpoint import first_weights
from XRayTo3DLib.training.parametrized.atlas import Atlas, fill_atlas
from XRayTo3DLib.training.parametrized.examples import Batch, Examples
from XRayTo3DLib.training.parametrized.losses import adversarial_loss, critic_loss, marker_loss, xray_loss
from XRayTo3DLib.training.parametrized.network import (
    WATER,
    Critic,
    DraggedImageNetwork,
    DraggedMarkerNetwork,
    ImageNetwork,
    MarkerNetwork,
)
from XRayTo3DLib.training.parametrized.patients import Patient
from XRayTo3DLib.training.parametrized.settings import NetworkSettings, Parametrized
from XRayTo3DLib.training.recipes import Recipe
from XRayTo3DLib.training.task import Losses, Task

#: Share of the X-rays that the marker network sees in convergent training, besides those of the image network.
_REAL = 0.3
#: Cases of a batch whose landmarks are looked up for the log.
_WATCHED = 2


class Both(nn.Module):
    """Networks that are trained together: the image network, and what learns in turn with it."""

    def __init__(self, image: nn.Module, others: dict[str, nn.Module]) -> None:
        super().__init__()
        self.image = image
        self.others = nn.ModuleDict(others)

    @property
    def marker(self) -> nn.Module:
        return self.others["marker"]

    @property
    def critic(self) -> nn.Module:
        return self.others["critic"]


def _both(network: nn.Module) -> Both:
    assert isinstance(network, Both)
    return network


def build(recipe: Recipe[Parametrized]) -> nn.Module:
    """The untrained network of a recipe, by the recipe's seed; torch's own random state stays what it is."""
    settings = recipe.settings
    region = find_region(settings.frame.region)
    landmarks = len(region.names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        marker = MarkerNetwork(landmarks, *_arguments(settings.network.marker))
        image = ImageNetwork(landmarks, *_arguments(settings.network.image), len(settings.frame.views), region.frame.size)
        critic = Critic(list(settings.network.critic))
    if settings.stage == "marker":
        return marker
    others: dict[str, nn.Module] = {"marker": marker} if settings.stage == "convergent" else {}
    whole = DraggedImageNetwork(marker, image, SIGMA) if settings.stage == "convergent" else image
    if settings.adversary.kind != "none":
        others["critic"] = critic
    return Both(whole, others) if others else whole


def _arguments(settings: NetworkSettings) -> tuple[list[int], int, int]:
    return list(settings.widths), settings.convolutions, settings.fold


def exported(network: nn.Module) -> nn.Module:
    """The network that goes into the model file."""
    return network.image if isinstance(network, Both) else network


def companions(recipe: Recipe[Parametrized], network: nn.Module) -> dict[str, tuple[nn.Module, dict[str, Any]]]:
    """The marker network of convergent training, which goes into a file of its own beside the image network's."""
    if not isinstance(network, Both) or "marker" not in network.others:
        return {}
    marker = network.marker
    if isinstance(network.image, DraggedImageNetwork):
        marker = DraggedMarkerNetwork(network.image, len(find_region(recipe.settings.frame.region).names))
    return {"markers": (marker, card(recipe, "marker"))}


def card(recipe: Recipe[Parametrized], stage: str = "") -> dict[str, Any]:
    """What the model card says of what the network takes and gives."""
    settings = recipe.settings
    region = find_region(settings.frame.region)
    rows, columns = region.frame.size
    marks = (stage or settings.stage) == "marker"
    return {
        "task": "landmarks" if marks else "xray",
        "interface": MARKER if marks else IMAGE,
        "landmarks": list(region.names),
        "inputs": {
            "views": {"minimum": 1, "maximum": 1},
            "beam": ["parallel"],
            "projections": list(settings.frame.views),
            "size": [rows, columns],
            "spacing_mm": region.frame.spacing_mm,
            "xray_unit": XRAY_UNIT,
            "sigma_pixels": SIGMA,
            "unit": "depth and thickness of the body in 100 mm; "
            + (f"line integral over {XRAY_UNIT:g}" if marks else "heat maps of peak 1, a landmark each"),
        },
        "outputs": {
            "grid": {"size": [columns, rows, 1], "spacing_mm": [region.frame.spacing_mm] * 2},
            "unit": "heat map, peak 1" if marks else f"line integral over {XRAY_UNIT:g}",
            "channels": list(region.names) if marks else ["line integral"],
        },
    }


def task(recipe: Recipe[Parametrized], patients: Sequence[Patient]) -> Task[Batch]:
    """The task of a recipe's stage."""
    settings = recipe.settings
    if settings.stage == "marker":
        return MarkerTask(recipe, patients)
    if settings.stage == "convergent":
        return ConvergentTask(recipe, patients)
    return ImageTask(recipe, patients) if settings.adversary.kind == "none" else AdversarialImageTask(recipe, patients)


class _Task:
    def __init__(self, recipe: Recipe[Parametrized], patients: Sequence[Patient]) -> None:
        self.recipe = recipe
        self.weights = recipe.settings.loss
        self.examples = Examples(recipe, patients)

    def build(self) -> nn.Module:
        """The network of the recipe, with the pretrained parts that it starts from."""
        network = build(self.recipe)
        start = self.recipe.settings.start
        image = exported(network)
        core = image.core if isinstance(image, DraggedImageNetwork) else image
        if isinstance(core, ImageNetwork):
            if start.image:
                first_weights(core, start.image)
            else:
                self._fill(core.atlas)
        if start.marker and self.recipe.settings.stage != "image":
            first_weights(network.marker if isinstance(network, Both) else network, start.marker)
        return network

    def _fill(self, atlas: Atlas) -> None:
        """The mean anatomy of the patients and of their mirror images."""
        views = self.recipe.settings.frame.views
        both = [one for patient in self.examples.patients for one in (patient, patient.mirrored())]
        surface = torch.stack([torch.as_tensor(one.surface) for one in both])
        xray = torch.stack([torch.as_tensor(one.xray) for one in both]).unsqueeze(1) / XRAY_UNIT
        points = torch.stack([torch.as_tensor(one.points, dtype=torch.float32) for one in both])
        fill_atlas(atlas, surface, xray - WATER * surface[:, 1:], points, torch.tensor([views.index(one.view) for one in both]))

    def batch(self, step: int, device: torch.device) -> Batch:
        return self.examples.batch(step).to(device)


class MarkerTask(_Task):
    """The marker network, from X-rays as they are (some withheld)."""

    figure = "pixels"

    def loss(self, network: nn.Module, batch: Batch) -> Losses:
        found = network(batch.surface, batch.xray * batch.seen)
        return Losses(marker_loss(found, batch.maps, self.weights), distance(found.detach()[:_WATCHED], batch.points[:_WATCHED]))


class ImageTask(_Task):
    """The image network, from landmarks as they are (some left out)."""

    figure = "mae"

    def loss(self, network: nn.Module, batch: Batch) -> Losses:
        found = network(batch.surface, batch.told)
        return Losses(xray_loss(found, batch.xray, self.weights), _mae(found, batch.xray))


class AdversarialImageTask(_Task):
    """The image network against a critic that sees surface and X-ray."""

    figure = "mae"

    def __init__(self, recipe: Recipe[Parametrized], patients: Sequence[Patient]) -> None:
        super().__init__(recipe, patients)
        self.adversary = recipe.settings.adversary
        self.critic_turns, self.critic_rate, self.betas = self.adversary.turns, self.adversary.rate, self.adversary.momenta

    def critic(self, network: nn.Module) -> nn.Module:
        return _both(network).others

    def critic_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        with torch.no_grad():
            made = _both(network).image(batch.surface, batch.told)
        return self.judged(network, batch, made)

    def loss(self, network: nn.Module, batch: Batch) -> Losses:
        found = _both(network).image(batch.surface, batch.told)
        total = xray_loss(found, batch.xray, self.weights) + self.held_against(network, batch, found)
        return Losses(total, _mae(found, batch.xray))

    def judged(self, network: nn.Module, batch: Batch, made: Tensor) -> Tensor:
        """The critic's loss; WGAN's weights are brought back into their bounds first."""
        critic = _both(network).critic
        if self.adversary.kind == "wgan":
            with torch.no_grad():
                for parameter in critic.parameters():
                    parameter.clamp_(-self.adversary.clip, self.adversary.clip)
        return critic_loss(critic, batch.surface, batch.xray, made, batch.noise, self.adversary)

    def held_against(self, network: nn.Module, batch: Batch, found: Tensor) -> Tensor:
        critic = _both(network).critic
        return self.adversary.weight * adversarial_loss(critic, batch.surface, found, self.adversary)


class ConvergentTask(AdversarialImageTask):
    """Both networks in turn, each with its own loss and with what comes back through the other, until they agree.

    Where the networks are blind the first X-ray is that of the surface alone, as in use: the markers are those read from it, and
    the next X-ray is that of these markers. Elsewhere landmarks are told, dragged ones among them: their X-ray has to show them
    again.
    """

    def critic_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The marker network's turn, and the critic's."""
        marker, image = _both(network).marker, _both(network).image
        with torch.no_grad():
            first = image(batch.surface, batch.told)
        real = (batch.seen > 0) & (batch.noise < _REAL)
        found = marker(batch.surface, torch.where(real, batch.xray, first))
        total = marker_loss(found, batch.maps, self.weights)
        if self.weights.through_image > 0:
            again = image(batch.surface, _again(found))
            total = total + self.weights.through_image * xray_loss(again, batch.xray, self.weights)
        return total if self.adversary.kind == "none" else total + self.judged(network, batch, first)

    def loss(self, network: nn.Module, batch: Batch) -> Losses:
        """The image network's turn."""
        marker, image = _both(network).marker, _both(network).image
        with torch.no_grad():
            first = image(batch.surface, torch.zeros_like(batch.maps))
            read = _again(marker(batch.surface, first))
        told = torch.where(batch.seen > 0, batch.told, read)
        found = image(batch.surface, told)
        total = xray_loss(found, batch.xray, self.weights)
        if self.weights.through_marker > 0:
            back, shown = marker(batch.surface, found), torch.where(batch.seen > 0, batch.maps, read)
            total = total + self.weights.through_marker * marker_loss(back, shown, self.weights)
        if self.adversary.kind != "none":
            total = total + self.held_against(network, batch, found)
        return Losses(total, _mae(found, batch.xray))


def _again(maps: Tensor) -> Tensor:
    """Heat maps as they are drawn of the points in these: what the image network gets in use. Gradients flow through the places."""
    points, presence = heat_map_points(maps)
    drawn = heat_maps(points, (int(maps.shape[2]), int(maps.shape[3])))
    return drawn * (presence >= PRESENT)[..., None, None]


def _mae(found: Tensor, target: Tensor) -> Tensor:
    return (found.detach() - target).abs().mean()


def distance(maps: Tensor, points: Tensor) -> Tensor:
    """The mean distance in pixels of the places in heat maps to landmarks (B, L, 2), those that are absent left out."""
    off = (heat_map_points(maps)[0] - points).norm(dim=-1)
    return off[torch.isfinite(off)].mean()
