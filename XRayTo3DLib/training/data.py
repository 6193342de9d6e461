"""Training examples: CTs moved, bent and X-rayed at random, each example a pure function of its seed.

CTs are kept once, resampled to the recipe's spacing as relative attenuation ``mu / mu_water`` in half precision. An example is
a grid placed in one of them with a random pose, scale, bend and mirror, and one to three radiographs of what is in that grid,
computed by the projector of this library on virtual detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from XRayTo3DLib.evaluation.protocol import body_centre
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import carm_direction, view_projection
from XRayTo3DLib.images.resampling import resample
from XRayTo3DLib.images.volume import MU_WATER, to_attenuation
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.projection.projector import project
from XRayTo3DLib.reconstruction.methods import virtual_detector


@dataclass(frozen=True)
class Subject:
    """One CT ready for training: relative attenuation [z, y, x] (half), the protocol's centre and the top, in voxels."""

    name: str
    values: torch.Tensor
    centre: tuple[float, float, float]
    group: str


@dataclass
class Batch:
    """What the network takes and should give; see :meth:`ReconstructionNetwork.forward` for shapes."""

    images: torch.Tensor
    matrices: torch.Tensor
    beams: torch.Tensor
    affine: torch.Tensor
    target: torch.Tensor


def load_subject(path: Path, spacing: float, group: str, cache: Path) -> Subject:
    """Read, resample to ``spacing`` mm and cache one CT. The cached centre is that of the evaluation protocol."""
    stored = cache / f"{path.name.removesuffix('.nii.gz')}_{spacing:g}mm.npz"
    if not stored.exists():
        volume = read_volume(path)
        centre = body_centre(volume)
        extent = np.asarray(volume.grid.size) * np.asarray(volume.grid.spacing)
        size = tuple(int(n) for n in np.ceil(extent / spacing))
        # Slices stay aligned with the top of the scan, where the protocol's grid begins.
        top = volume.grid.origin[2] + (volume.grid.size[2] - 1) * volume.grid.spacing[2]
        origin = (volume.grid.origin[0], volume.grid.origin[1], top - (size[2] - 1) * spacing)
        grid = Grid(size, (spacing,) * 3, origin)  # type: ignore[arg-type]
        relative = to_attenuation(resample(volume, grid)).array / MU_WATER
        index = (np.array([*centre, top]) - np.asarray(grid.origin)) / spacing
        cache.mkdir(parents=True, exist_ok=True)
        temporary = stored.with_suffix(".part.npz")
        np.savez_compressed(temporary, values=relative.astype(np.float16), centre=index)
        temporary.replace(stored)
    with np.load(stored) as data:
        x, y, top = (float(v) for v in data["centre"])
        return Subject(path.name.removesuffix(".nii.gz"), torch.from_numpy(data["values"]), (x, y, top), group)


def load_subjects(sources: Sequence[dict[str, Any]], data: Path, spacing: float, cache: Path) -> list[Subject]:
    """All CTs of a recipe's sources: each names a folder under ``data``, a group, and file stems to include or exclude."""
    subjects = []
    for source in sources:
        for path in sorted((data / source["folder"]).glob("*.nii.gz")):
            stem = path.name.removesuffix(".nii.gz")
            if stem.endswith(".labels") or stem in source.get("exclude", []):
                continue
            subjects.append(load_subject(path, spacing, source["group"], cache / source["group"]))
    return subjects


class Sampler:
    """Draws batches; the settings are the ``augmentation`` and ``views`` tables of a recipe."""

    def __init__(self, subjects: list[Subject], recipe: dict[str, Any]) -> None:
        self.subjects = subjects
        self.recipe = recipe
        self.size = int(recipe["grid"]["size"])
        self.spacing = float(recipe["grid"]["spacing"])
        groups = {source["group"]: float(source["weight"]) for source in recipe["data"]}
        counts = {group: sum(s.group == group for s in subjects) for group in groups}
        self.chances = np.array([groups[s.group] / counts[s.group] for s in subjects])
        self.chances /= self.chances.sum()

    def batch(self, step: int, count: int) -> Batch:
        """The batch of one training step: the same for the same recipe seed and step."""
        generator = np.random.default_rng([int(self.recipe["seed"]), step])
        views = int(generator.choice([1, 2, 3], p=self.recipe["views"]["chances"]))
        grid = Grid.centred((0, 0, 0), self.size, self.spacing)
        targets: list[torch.Tensor] = []
        images: list[torch.Tensor] = []
        matrices: list[torch.Tensor] = []
        beams: list[torch.Tensor] = []
        for _ in range(count):
            subject = self.subjects[generator.choice(len(self.subjects), p=self.chances)]
            target = self.place(subject, generator)
            seen = self.radiographs(target, grid, views, generator)
            targets.append(target)
            for into, value in zip((images, matrices, beams), seen, strict=True):
                into.append(value)
        affine = torch.tensor(grid.affine, dtype=torch.float32)
        stacked = [torch.stack(v) for v in (images, matrices, beams)]
        return Batch(stacked[0], stacked[1], stacked[2], affine, torch.stack(targets).unsqueeze(1))

    def place(self, subject: Subject, generator: np.random.Generator) -> torch.Tensor:
        """Relative attenuation [z, y, x] of one CT on a randomly placed, turned, scaled and bent grid."""
        settings = self.recipe["augmentation"]
        wide = settings["scale"][subject.group]
        scale = np.exp(generator.uniform(np.log(wide[0]), np.log(wide[1])))
        stretch = scale * np.exp(generator.uniform(-1, 1, 3) * settings["stretch"])
        angles = np.radians(generator.normal(0, settings["rotation_degrees"], 3)).clip(-0.5, 0.5)
        turn = _rotation(angles) @ np.diag(stretch)
        if generator.random() < 0.5:
            turn = turn @ np.diag([-1.0, 1.0, 1.0])
        half = (self.size - 1) / 2
        middle_x, middle_y, top = subject.centre
        centre = np.array([middle_x, middle_y, top - half * scale])
        room = len(subject.values) - self.size * scale
        if room > 0 and generator.random() < settings["anywhere"]:
            centre[2] -= generator.uniform(0, room)
        centre += generator.normal(0, settings["shift_mm"] / self.spacing, 3)
        axes = torch.arange(self.size, dtype=torch.float32) - half
        z, y, x = torch.meshgrid(axes, axes, axes, indexing="ij")
        index = torch.stack([x, y, z], dim=-1) @ torch.as_tensor(turn, dtype=torch.float32).T
        index += torch.as_tensor(centre, dtype=torch.float32)
        bend = generator.normal(0, settings["bend_mm"] / self.spacing, (1, 3, 5, 5, 5))
        field = functional.interpolate(
            torch.as_tensor(bend, dtype=torch.float32), size=(self.size,) * 3, mode="trilinear", align_corners=True
        )
        index += field[0].permute(1, 2, 3, 0)
        size = torch.tensor(subject.values.shape[::-1], dtype=torch.float32)
        values = functional.grid_sample(
            subject.values.float()[None, None], ((2 * index + 1) / size - 1)[None], align_corners=False
        )[0, 0]
        gain = float(np.exp(generator.normal(0, settings["bone_gain"])))
        return torch.where(values > 1.15, 1.15 + (values - 1.15) * gain, values)

    def radiographs(
        self, target: torch.Tensor, grid: Grid, views: int, generator: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Line integrals on virtual detectors, scaled for the network, with their matrices and beams."""
        settings = self.recipe["views"]
        projections = []
        for direction in _directions(views, settings, generator):
            distance = generator.uniform(*settings["source_to_isocentre"])
            cone = generator.random() < settings["cone"]
            real = view_projection(direction, grid.centre, (8, 8), 4.0, 2 * distance if cone else None, distance if cone else None)
            projections.append(virtual_detector.virtual_projection(real, grid))
        integrals = torch.stack(project(target * MU_WATER, grid, projections))
        if generator.random() < settings["noisy"]:
            photons = 10 ** generator.uniform(*settings["log10_photons"])
            noise = torch.as_tensor(generator.standard_normal(integrals.shape), dtype=torch.float32)
            integrals = (integrals + noise * torch.exp(integrals.clamp(max=12) / 2) / photons**0.5).clamp(min=0)
        if generator.random() < settings["gain_chance"]:
            integrals = integrals * float(np.exp(generator.normal(0, settings["gain"])))
        if generator.random() < settings["blur_chance"]:
            sigma = generator.uniform(0.3, 0.8)
            taps = torch.exp(-(torch.arange(-2, 3, dtype=torch.float32) ** 2) / (2 * sigma**2))
            taps = (taps / taps.sum()).view(1, 1, 5)
            rows = functional.conv2d(integrals[:, None], taps.view(1, 1, 5, 1), padding=(2, 0))
            integrals = functional.conv2d(rows, taps.view(1, 1, 1, 5), padding=(0, 2))[:, 0]
        matrices = np.stack([virtual_detector.matrix(p, grid) for p in projections])
        beams = np.stack([virtual_detector.beam(p, grid) for p in projections])
        return (
            integrals / virtual_detector.scale(grid),
            torch.as_tensor(matrices, dtype=torch.float32),
            torch.as_tensor(beams, dtype=torch.float32),
        )


def _rotation(angles: np.ndarray) -> np.ndarray:
    a, b, c = angles
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


def _directions(views: int, settings: dict[str, Any], generator: np.random.Generator) -> list[np.ndarray]:
    """Beam axes: mostly AP and lateral with the errors of real positioning, sometimes anything."""
    if generator.random() < settings["anything"]:
        first = generator.uniform(-180, 180)
        apart = generator.uniform(30, 150) * generator.choice([-1, 1])
        angles = [(first + i * apart / max(1, views - 1), generator.normal(0, 8)) for i in range(views)]
        return [carm_direction(*a) for a in angles]
    frontal = generator.choice([0.0, 180.0], p=[0.3, 0.7])
    lateral = generator.choice([90.0, -90.0])
    order = [frontal, lateral] if views > 1 or generator.random() < 0.7 else [lateral]
    angles = order[:views]
    if views > 2:
        angles.append(generator.uniform(20, 70) * generator.choice([-1, 1]))
    found = []
    for angle in angles:
        exact = generator.random() < settings["exact"]
        error = np.zeros(2) if exact else generator.normal(0, settings["error_degrees"]) * np.array([1.0, 0.5])
        found.append(carm_direction(angle + error[0], error[1]))
    return found
