"""Organs as training examples: a cube of voxels around the organ and the parallel-beam pictures of the patient about it.

A labelled CT is moved, turned and scaled a few times when it is read; the results are small and are cached, so that a step of
training costs next to nothing but the network's own work. Coordinates of an example are LPS mm from the organ's middle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from tqdm import tqdm

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import case_name
from XRayTo3DLib.evaluation.protocol import body_centre, scan_top
from XRayTo3DLib.files import writing
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.images.volume import MU_WATER, Volume
from XRayTo3DLib.io.volumes import read_volume
from XRayTo3DLib.shapes.labels import label_file, read_labels
from XRayTo3DLib.shapes.methods.organ_frame import ACROSS_AXIS, DEPTH_AXIS, PICTURE_MM, PICTURE_SIZE, SHAPE_SIZE
from XRayTo3DLib.shapes.organs import organ_mask
from XRayTo3DLib.training.augmentation import rotation, sample
from XRayTo3DLib.training.organ_settings import OrganSettings, PictureSettings
from XRayTo3DLib.training.recipes import Recipe, Source
from XRayTo3DLib.training.subjects import Subject, source_files

#: Part of every cache file's name: another content of the files is another number.
_FORMAT = 1
#: The kept pictures: pixels (rows, columns) and their size in mm; the patient is summed as far and as finely along the beam.
KEPT_SIZE, KEPT_MM = (150, 120), 4.0
#: The least voxels of an organ that is worth learning from, and the share of them that may lie in a border of the scan: a tip.
_LEAST, _CUT = 50, 0.01


@dataclass(frozen=True, eq=False)
class OrganSubject:
    """One patient's examples.

    - ``shapes``: (variants, 64 * 64 * 8) uint8, the cubes [z, y, x] as packed bits;
    - ``pictures``: (variants, 2, rows, columns) float16, frontal and lateral line integrals about the organ's middle, rows down
      the patient and columns to LPS +x (frontal) or +y (lateral);
    - ``references``: (variants, 3) LPS mm: the middle of the top of the scan, as the protocol finds it, from the organ's middle;
    - ``placements``: (variants, 3, 4), LPS mm of the CT to LPS mm from the organ's middle;
    - ``volume_ml``: (variants,) of the organ at the CT's own voxels, so placed.
    """

    name: str
    shapes: np.ndarray
    pictures: np.ndarray
    references: np.ndarray
    placements: np.ndarray
    volume_ml: np.ndarray
    weight: float = 1.0

    def shape(self, variant: int) -> np.ndarray:
        """The cube [z, y, x] of a variant as bool."""
        bits = np.unpackbits(self.shapes[variant]).astype(bool)
        return bits.reshape((SHAPE_SIZE,) * 3)


def load_organs(recipe: Recipe, data: Path, cache: Path) -> list[OrganSubject]:
    """All patients of a recipe's sources who have the whole organ; :class:`InputError` when there are none."""
    settings: OrganSettings = recipe.settings.organ
    found = []
    for source in recipe.data:
        paths = labelled_files(source, data)
        of_source = [load_organ(path, cache, settings, recipe.seed) for path in tqdm(paths, unit="CT", desc=source.folder)]
        whole = [subject for subject in of_source if subject is not None]
        found += [dataclasses.replace(subject, weight=source.weight / len(whole)) for subject in whole]
    if not found:
        raise InputError(f"No CT of {data} has the whole {settings.name} in its labels: correct --data or the recipe.")
    return found


def labelled_files(source: Source, data: Path) -> list[Path]:
    """The CT files of a source that have a label file; :class:`InputError` when the folder is missing or holds none."""
    if not (data / source.folder).is_dir():
        raise InputError(f"{data} lacks the folder {source.folder} that the recipe names: correct --data or the recipe.")
    return [path for path in source_files(source, data) if label_file(path) is not None]


def load_organ(path: Path, cache: Path, settings: OrganSettings, seed: int) -> OrganSubject | None:
    """Read, place and cache one patient; ``None`` when the organ is missing, or cut by the scan's ends."""
    labels = label_file(path)
    assert labels is not None
    told = json.dumps([dataclasses.asdict(settings), seed, _FORMAT], sort_keys=True).encode()
    try:
        digest = hashlib.sha256(path.read_bytes() + labels.read_bytes() + told).hexdigest()
    except OSError as error:
        raise InputError(f"The CT {path} or its labels cannot be read ({error.strerror}): check the files.") from error
    stored = cache / f"organ-{digest[:32]}.npz"
    found = _read(stored)
    if found is None:
        found = _prepared(path, settings, np.random.default_rng([seed, int(digest[:8], 16)]))
        with writing(stored) as temporary, temporary.open("wb") as file:
            np.savez(file, **found)  # type: ignore[arg-type]
    if not len(found["shapes"]):
        return None
    return OrganSubject(case_name(path), **found)  # type: ignore[arg-type]


def _read(stored: Path) -> dict[str, np.ndarray] | None:
    names = ("shapes", "pictures", "references", "placements", "volume_ml")
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(stored) as data:
        return {name: data[name] for name in names}
    return None


def whole_organ(path: Path, settings: OrganSettings) -> tuple[np.ndarray, Grid] | None:
    """The organ's voxels (bool [z, y, x]) and their grid; ``None`` when it is missing or the scan's border cuts it."""
    labelmap = read_labels(path, settings.labels)
    mask = organ_mask(labelmap, settings.name)
    count = np.count_nonzero(mask)
    border = max(np.count_nonzero(mask.take(end, axis=axis)) for axis in range(3) for end in (0, -1))
    return None if count < _LEAST or border > _CUT * count else (mask, labelmap.grid)


def _prepared(path: Path, settings: OrganSettings, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """The arrays of a patient's cache file; empty ones when the organ is not whole."""
    ct = read_volume(path)
    found = whole_organ(path, settings)
    if found is None:
        return {name: np.zeros(0) for name in ("shapes", "pictures", "references", "placements", "volume_ml")}
    mask, grid = found
    x, y = body_centre(ct)
    reference = np.array([x, y, scan_top(ct, x, y)])
    to_index = np.asarray(ct.grid.to_index, dtype=np.float64)
    subject = Subject(case_name(path), torch.from_numpy(ct.array.astype(np.int16)), to_index, reference, 0.0, "")
    voxels = np.argwhere(mask)[:, ::-1] @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    middle = 0.5 * (voxels.min(axis=0) + voxels.max(axis=0))
    volume = Volume(mask.astype(np.float32), grid, "1")
    rows = []
    for variant in range(settings.variants):
        turn = np.eye(3)  # from an example's coordinates to the CT's
        if variant:
            scale = np.exp(generator.normal(0, settings.scale) + generator.normal(0, settings.stretch, 3))
            turn = rotation(generator.normal(0, settings.rotation_degrees, 3)) @ np.diag(scale)
        back = np.linalg.inv(turn)
        moved = (voxels - middle) @ back.T
        centre = 0.5 * (moved.min(axis=0) + moved.max(axis=0))
        placement = np.hstack([back, (-back @ middle - centre)[:, None]])
        pictures = _pictures(subject, turn, middle + turn @ centre)
        shape = _cube(volume, turn, middle + turn @ centre, settings.spacing)
        millilitres = np.count_nonzero(mask) * grid.voxel_volume * abs(np.linalg.det(back)) / 1000
        rows.append((np.packbits(shape), pictures, placement[:, :3] @ reference + placement[:, 3], placement, millilitres))
    shapes, seen, references, placements, volumes = (np.stack(part) for part in zip(*rows, strict=True))
    return {
        "shapes": shapes,
        "pictures": seen.astype(np.float16),
        "references": references,
        "placements": placements,
        "volume_ml": volumes,
    }


def _cube(volume: Volume, turn: np.ndarray, centre: np.ndarray, spacing: float) -> np.ndarray:
    """Where a mask of ones is at least one half on the organ's cube [z, y, x]."""
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = centre - affine[:3, :3] @ np.full(3, (SHAPE_SIZE - 1) / 2)
    place = torch.tensor(np.asarray(volume.grid.to_index) @ affine, dtype=torch.float32)
    index = torch.stack(torch.meshgrid(*[torch.arange(float(SHAPE_SIZE))] * 3, indexing="ij")[::-1], dim=-1)
    where = index @ place[:3, :3].T + place[:3, 3]
    size = torch.tensor(volume.grid.size)
    found = torch.nn.functional.grid_sample(
        torch.from_numpy(volume.array)[None, None], ((2 * where + 1) / size - 1)[None], align_corners=False
    )
    return found[0, 0].numpy() >= 0.5


def _pictures(subject: Subject, turn: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Line integrals (2, row, column) of a CT about a point, parallel beams along LPS y (frontal) and x (lateral)."""
    rows, columns = KEPT_SIZE
    down = -(torch.arange(rows) - (rows - 1) / 2) * KEPT_MM
    across = (torch.arange(columns) - (columns - 1) / 2) * KEPT_MM
    matrix = torch.tensor(turn.T, dtype=torch.float32)
    slabs = []
    for part in down.split(25):  # the points of the whole would take a hundred megabytes
        z, y, x = torch.meshgrid(part, across, across, indexing="ij")
        values = sample(subject, torch.stack([x, y, z], dim=-1) @ matrix, centre)
        slabs.append(torch.stack([values.sum(dim=2 - DEPTH_AXIS[view]) for view in DEPTH_AXIS]))
    return torch.cat(slabs, dim=1).numpy() * (MU_WATER * KEPT_MM)


@dataclass(frozen=True)
class OrganBatch:
    """``picture`` (B, 1, 256, 256), ``mask`` (B, 1, 64, 64) and ``shape`` (B, 1, 64, 64, 64) [z, y, x] as float, ``offset`` (B, 3).

    The offset is LPS mm to the organ's middle: within the picture from its middle, along the beam from the body's. ``draws`` names
    each example: patient, variant, and whether it was mirrored.
    """

    picture: torch.Tensor
    mask: torch.Tensor
    shape: torch.Tensor
    offset: torch.Tensor
    draws: tuple[tuple[int, int, bool], ...]

    def to(self, device: torch.device) -> OrganBatch:
        names = ("picture", "mask", "shape", "offset")
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in names})


class OrganExamples:
    """Draws the batches of a recipe from its subjects."""

    def __init__(self, recipe: Recipe, subjects: Sequence[OrganSubject]) -> None:
        self.recipe = recipe
        self.subjects = subjects
        self.settings: PictureSettings = recipe.settings.pictures
        weights = np.array([subject.weight for subject in subjects])
        self.chances = weights / weights.sum()

    def batch(self, step: int) -> OrganBatch:
        """The examples of one step: the same for the same recipe and step."""
        generator = np.random.default_rng([self.recipe.seed, step])
        count = self.recipe.schedule.batch
        patients = generator.choice(len(self.subjects), count, p=self.chances)
        settings = self.settings
        draws = tuple(
            (int(n), int(generator.integers(len(self.subjects[n].shapes))), settings.mirrored and bool(generator.random() < 0.5))
            for n in patients
        )
        parts = [self.example(*draw, generator) for draw in draws]
        shape, picture, offset = (torch.stack(part) for part in zip(*parts, strict=True))
        return OrganBatch(picture, project_cube(shape, settings.view), shape, offset, draws)

    def example(
        self, patient: int, variant: int, mirrored: bool, generator: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Shape (1, 64, 64, 64), picture (1, 256, 256) and offset (3,) of one variant, the picture anywhere near the organ."""
        settings, subject = self.settings, self.subjects[patient]
        view, across = settings.view, ACROSS_AXIS[settings.view]
        shape = torch.from_numpy(subject.shape(variant)).float()
        kept = torch.from_numpy(subject.pictures[variant, [*DEPTH_AXIS].index(view)]).float()
        reference = subject.references[variant].copy()
        if mirrored:
            shape, reference[0] = shape.flip(2), -reference[0]
            kept = kept.flip(1) if across == 0 else kept
        if settings.field_mm and generator.random() < settings.field_chance:
            kept = kept * _field(reference, across, settings.field_mm, generator)
        if settings.blur:
            kept = torch.from_numpy(ndimage.gaussian_filter(kept.numpy(), generator.uniform(0, settings.blur)))
        kept = kept * float(np.exp(generator.normal(0, settings.gain)))
        if settings.noise:
            kept = kept + torch.as_tensor(generator.normal(0, settings.noise, kept.shape), dtype=torch.float32)
        if generator.random() < settings.anywhere:
            shift = generator.uniform(-1, 1, 2) * settings.anywhere_mm
        else:
            shift = generator.normal(0, settings.jitter_mm, 2)
        offset = -reference
        offset[across], offset[2] = -shift
        return shape[None], _about(kept, shift)[None], torch.tensor(offset, dtype=torch.float32)


def _field(reference: np.ndarray, across: int, side: float, generator: np.random.Generator) -> torch.Tensor:
    """1 on the kept pixels of a square field below the top of the scan, 0 outside, within some mm."""
    rows, columns = KEPT_SIZE
    z = -(torch.arange(rows) - (rows - 1) / 2) * KEPT_MM - float(reference[2] + generator.normal(0, 4))
    u = (torch.arange(columns) - (columns - 1) / 2) * KEPT_MM - float(reference[across] + generator.normal(0, 4))
    return ((z <= 2) & (z >= -side))[:, None].float() * (u.abs() <= side / 2)[None, :].float()


def _about(kept: torch.Tensor, shift: np.ndarray) -> torch.Tensor:
    """The picture (256, 256) whose middle lies ``shift`` mm (across, up) from the kept one's."""
    offset = (torch.arange(PICTURE_SIZE) - (PICTURE_SIZE - 1) / 2) * PICTURE_MM
    rows, columns = KEPT_SIZE
    x = 2 * (offset + float(shift[0])) / (KEPT_MM * columns)
    y = 2 * (offset - float(shift[1])) / (KEPT_MM * rows)
    where = torch.stack([x.expand(PICTURE_SIZE, -1), y[:, None].expand(-1, PICTURE_SIZE)], dim=-1)
    return torch.nn.functional.grid_sample(kept[None, None], where[None], align_corners=False)[0, 0]


def project_cube(cube: torch.Tensor, view: str) -> torch.Tensor:
    """The shadow (B, 1, rows, columns) of cubes (B, 1, z, y, x), rows down the patient: the largest value along each ray."""
    return cube.amax(dim=4 - DEPTH_AXIS[view]).flip(2)
