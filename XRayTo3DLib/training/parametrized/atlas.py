"""The mean anatomy that the image network begins with: one picture a view, moved so that its landmarks lie where they are told.

What an X-ray shows beyond water as thick as the body is averaged over the training patients after each was warped to the mean
landmarks. In use the average is warped back to the patient's landmarks, which is why it follows a landmark that is dragged; the
network then adds what the surface says. Landmarks that are not known leave the average where it is.

The code is TorchScript throughout.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

#: Warps are smooth: sums of two Gaussians a landmark, their standard deviations in pixels, and how much the narrow one counts.
_WIDE, _NARROW, _SHARE = 24.0, 7.0, 0.4
#: Landmarks that are close together and told to part do so half way rather than fold the picture.
_STIFFNESS = 0.03
#: Warps are computed every so many pixels, and surfaces for the choice of the view in so many fields a side.
_STEP, _FIELDS = 4, 8


def _kernel(a: Tensor, b: Tensor, wide: float, narrow: float, share: float) -> Tensor:
    """(B, N, 2) and (B, M, 2) pixels to (B, N, M)."""
    squared = (a[:, :, None] - b[:, None, :]).square().sum(dim=-1)
    return (1 - share) * torch.exp(-0.5 * squared / wide**2) + share * torch.exp(-0.5 * squared / narrow**2)


class Atlas(nn.Module):
    """Surface image (B, 2, H, W) and heat maps (B, L, H, W) to the warped mean (B, 1, H, W), in line integrals over 5.

    ``pictures`` (V, 1, H, W) and ``means`` (V, L, 2: row and column) of each view; ``weights`` and ``bias`` tell the views apart by
    the surface.
    """

    def __init__(self, views: int, landmarks: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.pictures = nn.Parameter(torch.zeros(views, 1, size[0], size[1]))
        self.means: Tensor
        self.weights: Tensor
        self.bias: Tensor
        self.register_buffer("means", torch.zeros(views, landmarks, 2))
        self.register_buffer("weights", torch.zeros(views, 2 * _FIELDS * _FIELDS))
        self.register_buffer("bias", torch.zeros(views))
        self.wide, self.narrow, self.share, self.stiffness = _WIDE, _NARROW, _SHARE, _STIFFNESS
        self.step, self.fields = _STEP, _FIELDS

    def forward(self, surface: Tensor, maps: Tensor) -> Tensor:
        view = self.view(surface)
        means = self.means[view].to(surface.dtype)
        points, known = self.points(maps)
        field = self.field(points, (means - points) * known.unsqueeze(-1), known, surface.shape[2], surface.shape[3])
        warped = self.sampled(self.pictures[view], field)
        return warped * (surface[:, 1:] > 0).to(surface.dtype)

    def view(self, surface: Tensor) -> Tensor:
        """Which view each surface (B, 2, H, W) is seen in: indices (B,)."""
        fields = functional.adaptive_avg_pool2d(surface, self.fields).flatten(1)
        return (fields @ self.weights.to(surface.dtype).t() + self.bias.to(surface.dtype)).argmax(dim=1)

    def points(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The middle of each map's mass (B, L, 2), and 1 where it has any (B, L)."""
        rows = torch.arange(maps.shape[2], dtype=maps.dtype, device=maps.device)
        columns = torch.arange(maps.shape[3], dtype=maps.dtype, device=maps.device)
        along, across = maps.sum(dim=3), maps.sum(dim=2)
        mass = along.sum(dim=2)
        known = (mass > 1.0).to(maps.dtype)
        points = torch.stack([(along * rows).sum(dim=2), (across * columns).sum(dim=2)], dim=2)
        return points / mass.clamp(min=1.0).unsqueeze(-1), known

    def field(self, points: Tensor, ways: Tensor, known: Tensor, rows: int, columns: int) -> Tensor:
        """The smooth field (B, H, W, 2) in pixels that is ``ways`` (B, L, 2) at ``points`` (B, L, 2); unknown ones do not count."""
        pairs = known.unsqueeze(2) * known.unsqueeze(1)
        unit = torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
        matrix = _kernel(points, points, self.wide, self.narrow, self.share) * pairs + self.stiffness * unit
        matrix = matrix + torch.diag_embed(1 - known)
        sums = torch.linalg.solve(matrix, ways)
        r = torch.arange(rows // self.step, dtype=points.dtype, device=points.device) * self.step + (self.step - 1) / 2
        c = torch.arange(columns // self.step, dtype=points.dtype, device=points.device) * self.step + (self.step - 1) / 2
        at = torch.stack([r.view(-1, 1).expand(-1, c.shape[0]), c.view(1, -1).expand(r.shape[0], -1)], dim=-1).reshape(1, -1, 2)
        near = _kernel(at.expand(points.shape[0], -1, -1), points, self.wide, self.narrow, self.share) * known.unsqueeze(1)
        coarse = (near @ sums).reshape(-1, r.shape[0], c.shape[0], 2).permute(0, 3, 1, 2)
        fine = functional.interpolate(coarse, size=[rows, columns], mode="bilinear", align_corners=False)
        return fine.permute(0, 2, 3, 1)

    def sampled(self, pictures: Tensor, field: Tensor) -> Tensor:
        """Pictures (B, C, H, W) taken at each pixel + ``field`` (B, H, W, 2)."""
        rows, columns = pictures.shape[2], pictures.shape[3]
        r = torch.arange(rows, dtype=field.dtype, device=field.device).view(1, -1, 1) + field[..., 0]
        c = torch.arange(columns, dtype=field.dtype, device=field.device).view(1, 1, -1) + field[..., 1]
        where = torch.stack([(2 * c + 1) / columns - 1, (2 * r + 1) / rows - 1], dim=-1)
        return functional.grid_sample(pictures, where, mode="bilinear", padding_mode="border", align_corners=False)


def fill_atlas(atlas: Atlas, surface: Tensor, beyond: Tensor, points: Tensor, views: Tensor) -> None:
    """Average the patients of each view into the atlas.

    ``surface`` (N, 2, H, W); ``beyond`` (N, 1, H, W): their X-rays less water, over the unit; ``points`` (N, L, 2), NaN where
    absent; ``views`` (N,): which view each is in.
    """
    rows, columns = surface.shape[2], surface.shape[3]
    middle = torch.tensor([(rows - 1) / 2, (columns - 1) / 2])
    with torch.no_grad():
        for view in range(len(atlas.pictures)):
            own = views == view
            if not bool(own.any()):
                continue
            there = torch.isfinite(points[own]).all(dim=2)
            known = there.to(surface.dtype)
            filled = torch.where(there.unsqueeze(-1), points[own], torch.zeros(()))
            count = known.sum(dim=0).unsqueeze(-1)
            means = torch.where(count > 0, filled.sum(dim=0) / count.clamp(min=1), middle)
            atlas.means[view] = means
            centres = means.expand(len(filled), -1, -1)
            field = atlas.field(centres, (filled - centres) * known.unsqueeze(-1), known, rows, columns)
            body = (surface[own, 1:] > 0).to(surface.dtype)
            weight = atlas.sampled(body, field)
            total = (atlas.sampled(beyond[own] * body, field)).sum(dim=0)
            # Where few patients reach the average fades to nothing.
            atlas.pictures[view] = total / (weight.sum(dim=0) + math.sqrt(len(filled)) / 4)
        features = functional.adaptive_avg_pool2d(surface, atlas.fields).flatten(1).double()
        aims = functional.one_hot(views, len(atlas.pictures)).double()
        features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        ridge = features.T @ features + 0.1 * torch.eye(features.shape[1])
        found = torch.linalg.solve(ridge.double(), features.T @ aims)
        atlas.weights.copy_(found[:-1].T)
        atlas.bias.copy_(found[-1])
