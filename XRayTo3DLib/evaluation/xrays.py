"""The X-rays of a case: what a method is given in a setting of the protocol."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.evaluation.cases import Case
from XRayTo3DLib.evaluation.marching import march
from XRayTo3DLib.evaluation.protocol import (
    HARD_EXPOSURE,
    HARD_STEP_MM,
    HARD_WATER_MM,
    SETTINGS,
    Setting,
    projections,
)
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.projection import Projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import MU_WATER, Volume, to_attenuation
from XRayTo3DLib.simulation.beam import bone_part
from XRayTo3DLib.simulation.detector import expose
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.materials import CORTICAL_BONE, WATER


@dataclass(frozen=True, eq=False)
class Xrays:
    """The X-rays of one case, each kind of exposure made once: settings share their views."""

    case: Case
    _made: dict[tuple[str, float | None, bool], Radiograph] = field(default_factory=dict)

    def of(self, setting: str) -> list[Radiograph]:
        """The radiographs of a setting with the geometry that the method is told; :class:`InputError` for an unknown setting."""
        if setting not in SETTINGS:
            raise InputError(f"The setting {setting!r} is not known: use one of {', '.join(SETTINGS)}.")
        wanted = SETTINGS[setting]
        grid = self.case.truth.grid
        true = projections(wanted.views, wanted, grid)
        if not wanted.hard:
            return render_drr(self.case.truth, true, wanted.names)
        told = projections(wanted.names, wanted, grid)
        given = []
        for view, name, projection, geometry in zip(wanted.views, wanted.names, true, told, strict=True):
            given.append(replace(self._exposed(wanted, view, projection), projection=geometry, name=name))
        return given

    def _exposed(self, setting: Setting, view: str, projection: Projection) -> Radiograph:
        key = view, setting.distance, setting.whole
        if key not in self._made:
            volume = self.case.ct or self.case.truth
            box = volume.grid if setting.whole else self.case.truth.grid
            ideal = Radiograph(polychromatic(volume, projection, box), projection, view)
            # The noise belongs to what is X-rayed and not to what its file is called.
            seed = zlib.crc32(np.ascontiguousarray(self.case.truth.array).tobytes())
            self._made[key] = expose(ideal, replace(HARD_EXPOSURE, seed=seed))
        return self._made[key]


def radiographs_of(case: Case, setting: str) -> list[Radiograph]:
    """The X-rays of a case in one of :data:`~XRayTo3DLib.evaluation.protocol.SETTINGS`."""
    return Xrays(case).of(setting)


def polychromatic(volume: Volume, projection: Projection, box: Grid) -> np.ndarray:
    """Line integrals float32 (rows, columns) of what lies in ``box``, of a beam of many energies calibrated as one.

    The beam hardens in bone and in thick patients, and one factor, right behind :data:`HARD_WATER_MM` of water, is all that is done
    about it, as by a user who knows nothing of the tube.
    """
    part = _cropped(volume, box)
    mu = to_attenuation(part).array
    bone = bone_part(mu)
    soft, hard = march(np.stack([mu - bone, bone]), part.grid, projection, box, HARD_STEP_MM)
    beam = HARD_EXPOSURE.beam
    assert beam is not None
    water = MU_WATER * HARD_WATER_MM
    factor = water / float(beam.line_integrals({WATER: np.array([water])})[0])
    return (factor * beam.line_integrals({WATER: soft, CORTICAL_BONE: hard})).astype(np.float32)


def _cropped(volume: Volume, box: Grid) -> Volume:
    """The voxels that matter for what lies in ``box``: a copy of all of a large scan would cost memory for nothing."""
    corners: Sequence[np.ndarray] = (volume.grid.to_index[:3, :3] @ box.corners.T).T + volume.grid.to_index[:3, 3]
    low = np.clip(np.floor(np.min(corners, axis=0)).astype(int) - 1, 0, np.array(volume.grid.size) - 2)
    high = np.clip(np.ceil(np.max(corners, axis=0)).astype(int) + 2, low + 2, volume.grid.size)
    array = volume.array[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    origin = (volume.grid.affine @ np.append(low, 1.0))[:3]
    return replace(volume, array=array, grid=replace(volume.grid, size=array.shape[::-1], origin=tuple(origin)))
