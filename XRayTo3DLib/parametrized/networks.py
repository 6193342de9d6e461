"""The networks of a parametrized X-ray, run through their cards: ``marker-net/1`` and ``image-net/1``.

Both are called with pictures of the region's frame (see :mod:`.regions`): H x W pixels of the card's ``inputs.size`` and
``spacing_mm``, parallel beam, float32, batches of any size.

- ``marker-net/1``: ``(surface, xray)`` to heat maps (B, L, H, W) from 0 on;
- ``image-net/1``: ``(surface, maps)`` to the X-ray (B, 1, H, W), from 0 on.

``surface`` (B, 2, H, W): depth and thickness in units of 100 mm, 0 outside the body; ``xray`` (B, 1, H, W): line integrals over the
card's ``inputs.xray_unit`` (5 where it says none), all 0 when there is none yet; ``maps`` (B, L, H, W): a Gaussian of peak 1 and of
``inputs.sigma_pixels`` (2) a landmark, in the order of the card's ``landmarks``, all 0 for a landmark that is absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.models.torchscript import quickened
from XRayTo3DLib.models.zoo import LoadedModel, load_model
from XRayTo3DLib.parametrized.heat_maps import SIGMA, heat_map_points, heat_maps

MARKER, IMAGE = "marker-net/1", "image-net/1"
#: Line integral that counts as 1 where a card says none.
XRAY_UNIT = 5.0
#: Mass of a heat map, over that of one Gaussian, from which a landmark counts as there.
PRESENT = 0.35


@dataclass(frozen=True, eq=False)
class Networks:
    """A marker network and an image network of one region, for the same landmarks and pictures.

    ``landmarks``: their names, in order; ``size``: rows and columns; ``spacing_mm``: of a pixel.
    """

    marker: LoadedModel
    image: LoadedModel
    landmarks: tuple[str, ...] = field(init=False)
    size: tuple[int, int] = field(init=False)
    spacing_mm: float = field(init=False)

    def __post_init__(self) -> None:
        told = [_told(model, interface) for model, interface in ((self.marker, MARKER), (self.image, IMAGE))]
        for name in ("landmarks", "size", "spacing_mm", "xray_unit", "sigma_pixels"):
            if told[0][name] != told[1][name]:
                raise InputError(
                    f"The models {self.marker.file.name} and {self.image.file.name} do not fit together ({name}: "
                    f"{told[0][name]} and {told[1][name]}): use two that were trained for each other."
                )
        for name in ("landmarks", "size", "spacing_mm"):
            object.__setattr__(self, name, told[0][name])

    def check(self, landmarks: Sequence[str], size: tuple[int, int], spacing_mm: float, view: str = "") -> None:
        """Raise :class:`InputError` unless the networks are for these landmarks, pictures and view."""
        own = f"the models {self.marker.file.name} and {self.image.file.name}"
        if tuple(landmarks) != self.landmarks:
            other = [name for name in landmarks if name not in self.landmarks] or [n for n in self.landmarks if n not in landmarks]
            raise InputError(
                f"The landmarks are not those of {own}{f' ({other[0]})' if other else ''}: use the region they were made for."
            )
        if tuple(size) != self.size or abs(spacing_mm - self.spacing_mm) > 1e-3 * self.spacing_mm:
            raise InputError(
                f"Pictures of {size[0]} x {size[1]} pixels of {spacing_mm:g} mm are not what {own} take ({self.size[0]} x "
                f"{self.size[1]} of {self.spacing_mm:g} mm): use the region they were made for."
            )
        known = self.image.file.card["inputs"].get("projections")
        if view and known is not None and view not in known:
            raise InputError(f"The view {view} is none that {own} know ({', '.join(known)}): choose one of these.")

    def markers(self, surface: np.ndarray, xray: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Where the landmarks are: float64 (L, 2), row and column in pixels, NaN for absent ones, and their presence (L,).

        ``surface`` float32 (2, H, W); ``xray`` line integrals (H, W), or ``None`` to ask the surface alone.
        """
        unit = _told(self.marker, MARKER)["xray_unit"]
        picture = np.zeros(self.size) if xray is None else xray / unit
        maps = _answer(self.marker, len(self.landmarks), self.size, surface, picture[None])
        sigma = _told(self.marker, MARKER)["sigma_pixels"]
        points, presence = (found[0].double().numpy() for found in heat_map_points(maps, sigma))
        return np.where((presence >= PRESENT)[:, None], points, np.nan), presence

    def xray(self, surface: np.ndarray, points: np.ndarray | None) -> np.ndarray:
        """The X-ray of these landmarks: line integrals float32 (H, W), from 0 on.

        ``surface`` float32 (2, H, W); ``points`` (L, 2), row and column in pixels, NaN for absent ones; ``None``: none is known.
        """
        told = _told(self.image, IMAGE)
        where = np.full((len(self.landmarks), 2), np.nan) if points is None else np.asarray(points, dtype=np.float64)
        if where.shape != (len(self.landmarks), 2):
            raise InputError(f"The points have the shape {where.shape}, not {(len(self.landmarks), 2)}: one row a landmark.")
        maps = heat_maps(torch.as_tensor(where, dtype=torch.float32)[None], self.size, told["sigma_pixels"])
        return told["xray_unit"] * _answer(self.image, 1, self.size, surface, maps[0].numpy())[0, 0].numpy()


def load_networks(marker: str, image: str, **options: Any) -> Networks:
    """The networks by bundled name or path; ``options`` go to :func:`~XRayTo3DLib.models.zoo.load_model`."""
    return Networks(load_model(marker, "landmarks", **options), load_model(image, "xray", **options))


def _told(model: LoadedModel, interface: str) -> dict[str, Any]:
    """What a card says of the pictures; :class:`InputError` when it speaks another interface or leaves something out."""
    card = model.file.card
    if card["interface"] != interface:
        raise InputError(
            f"The model {card['name']} speaks the interface {card['interface']!r}, not {interface!r}: choose another model."
        )
    inputs = card["inputs"]
    lacking = [key for key, place in (("size", inputs), ("spacing_mm", inputs), ("landmarks", card)) if key not in place]
    if lacking or len(inputs["size"]) != 2:
        raise InputError(f"The card of the model {card['name']} does not say its {(lacking or ['size'])[0]}: correct the card.")
    return {
        "landmarks": tuple(card["landmarks"]),
        "size": (int(inputs["size"][0]), int(inputs["size"][1])),
        "spacing_mm": float(inputs["spacing_mm"]),
        "xray_unit": float(inputs.get("xray_unit", XRAY_UNIT)),
        "sigma_pixels": float(inputs.get("sigma_pixels", SIGMA)),
    }


def _answer(model: LoadedModel, channels: int, size: tuple[int, int], surface: np.ndarray, other: np.ndarray) -> torch.Tensor:
    """The model's answer (1, channels, H, W), float32, its shape and values checked."""
    if surface.shape != (2, *size) or other.shape[1:] != size:
        raise InputError(
            f"The surface image {surface.shape} or the picture {other.shape[1:]} is not what the model {model.file.name} takes "
            f"({size[0]} x {size[1]} pixels): make both with the region's frame."
        )
    inputs = [torch.as_tensor(np.ascontiguousarray(a), dtype=torch.float32).unsqueeze(0) for a in (surface, other)]
    found = LoadedModel(model.file, quickened(model.module))(*inputs)
    wanted = (1, channels, *size)
    if not isinstance(found, torch.Tensor) or found.is_complex() or tuple(found.shape) != wanted:
        given = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise InputError(f"The model {model.file.name} gave {given}, not a real tensor {wanted}: correct the model.")
    found = found.float()
    if not bool(torch.isfinite(found).all()) or float(found.min()) < 0:
        raise InputError(f"The model {model.file.name} gave values below 0, NaN or infinite: use another model or another surface.")
    return found
