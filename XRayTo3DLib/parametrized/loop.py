"""The loop of a parametrized X-ray: markers from the X-ray, the X-ray from the markers, until both agree.

Everything is one frozen :class:`State`; :func:`start` makes it from a surface image, :func:`step` is one round, in which dragged
markers are put where they were dragged, and :func:`settle` goes on until markers rest. :class:`Loop` keeps the states for undo, and
the newest position of what is being dragged: nothing queues. After Teixeira et al. (CVPR 2018), where nothing is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.parametrized.regions import Region
from XRayTo3DLib.parametrized.surface_image import SurfaceImage
from XRayTo3DLib.progress import Progress, silent

#: Markers rest when none moves farther in a round, in mm; and the most rounds of one settling.
TOLERANCE_MM, MOST_ROUNDS = 0.5, 20
#: From this round on a marker goes half of its way: two networks that overshoot each other come to rest.
_DAMPED_FROM = 4
#: States that can be undone.
_KEPT = 200


class MarkersAndImage(Protocol):
    """What the loop needs of two networks: see :class:`XRayTo3DLib.parametrized.networks.Networks`."""

    @property
    def landmarks(self) -> tuple[str, ...]: ...

    def markers(self, surface: np.ndarray, xray: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]: ...

    def xray(self, surface: np.ndarray, points: np.ndarray | None) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class State:
    """A parametrized X-ray as it stands.

    - ``surface``: what it was made from, with the projection of the picture;
    - ``names``: the landmarks, in the order of ``points``: float64 [landmark, 2], row and column in pixels, NaN where absent;
    - ``xray``: float32 [row, column], line integrals (dimensionless), the X-ray of these points;
    - ``held``: bool [landmark], those that stay where they were put; ``locked``: those that the user locked;
    - ``rounds``: rounds since the last change by hand; ``moved_mm``: how far the farthest marker went in the last of them;
      ``converged``: whether that is below the tolerance.
    """

    surface: SurfaceImage
    names: tuple[str, ...]
    points: np.ndarray
    xray: np.ndarray
    held: np.ndarray
    locked: np.ndarray
    rounds: int = 0
    moved_mm: float = float("inf")
    converged: bool = False

    @property
    def present(self) -> np.ndarray:
        """bool [landmark]: which are there."""
        return np.isfinite(self.points[:, 0])

    def positions(self) -> dict[str, np.ndarray]:
        """LPS mm of the markers that are there, on the plane of the picture, by name."""
        found = self.surface.projection.pixel_positions(self.points)
        return {name: point for name, point, there in zip(self.names, found, self.present, strict=True) if there}

    def index(self, name: str) -> int:
        """The place of a landmark; :class:`InputError` for a name that is none."""
        if name not in self.names:
            raise InputError(f"There is no landmark {name!r} here: use one of {', '.join(self.names)}.")
        return self.names.index(name)

    def shifted(self, name: str, across_mm: float, up_mm: float) -> np.ndarray:
        """[row, column] of a marker moved by mm: ``up_mm`` towards the head, ``across_mm`` along LPS x (frontal) or y (lateral).

        :class:`InputError` for one that is absent: it has no place to be moved from.
        """
        index = self.index(name)
        if not self.present[index]:
            raise InputError(f"The landmark {name} is not in this X-ray: choose another, or give its position.")
        projection = self.surface.projection
        axis = int(np.abs(projection.row_direction).argmax())
        way = np.zeros(3)
        way[axis], way[2] = across_mm, up_mm
        step = [way @ projection.column_direction / projection.spacing[0], way @ projection.row_direction / projection.spacing[1]]
        return self.points[index] + step


def start(networks: MarkersAndImage, region: Region, surface: SurfaceImage) -> State:
    """The first X-ray and its markers, from the surface alone. Which landmarks are there is decided here, and then stays."""
    if tuple(networks.landmarks) != region.names:
        raise InputError(f"The networks are not for the landmarks of the region {region.name}: use those made for it.")
    guess = networks.xray(surface.array, None)
    points, _ = networks.markers(surface.array, guess)
    nobody = np.zeros(len(region.names), dtype=bool)
    return State(surface, region.names, points, networks.xray(surface.array, points), nobody, nobody)


def step(
    networks: MarkersAndImage,
    state: State,
    drags: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    tolerance_mm: float = TOLERANCE_MM,
) -> State:
    """One round. ``drags``: new places [row, column] of markers by name, which are held from now on.

    With drags the X-ray follows at once, and the other markers with it. :class:`InputError` for a name that is none, a place that
    is not on the picture, and a locked marker.
    """
    points, held = state.points.copy(), state.held.copy()
    for name, place in (drags or {}).items():
        index = state.index(name)
        if state.locked[index]:
            raise InputError(f"The landmark {name} is locked: unlock it to move it.")
        points[index], held[index] = _checked(place, name, state.surface), True
    xray = networks.xray(state.surface.array, points) if drags else state.xray
    rounds = 0 if drags else state.rounds
    found, _ = networks.markers(state.surface.array, xray)
    free = ~(held | state.locked) & np.isfinite(points[:, 0]) & np.isfinite(found[:, 0])
    share = 1.0 if rounds < _DAMPED_FROM else 0.5
    new = points.copy()
    new[free] += share * (found[free] - points[free])
    way = (new - points)[free] * state.surface.projection.spacing
    moved = float(np.linalg.norm(way, axis=1).max()) / share if len(way) else 0.0
    picture = networks.xray(state.surface.array, new)
    return replace(state, points=new, xray=picture, held=held, rounds=rounds + 1, moved_mm=moved, converged=moved < tolerance_mm)


def settle(
    networks: MarkersAndImage,
    state: State,
    drags: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    progress: Progress = silent,
    tolerance_mm: float = TOLERANCE_MM,
    most_rounds: int = MOST_ROUNDS,
) -> State:
    """Rounds until no marker moves ``tolerance_mm`` farther, ``most_rounds`` at most; ``State.converged`` says which it was."""
    state = step(networks, replace(state, rounds=0, converged=False), drags, tolerance_mm)
    while not state.converged and state.rounds < most_rounds:
        progress(state.rounds / most_rounds, f"X-ray and markers, round {state.rounds}")
        state = step(networks, state, None, tolerance_mm)
    progress(1.0, "X-ray and markers agree" if state.converged else "X-ray and markers did not come to rest")
    return state


def _checked(place: Sequence[float] | np.ndarray, name: str, surface: SurfaceImage) -> np.ndarray:
    found = np.asarray(place, dtype=np.float64)
    rows, columns = surface.projection.size
    if (
        found.shape != (2,)
        or not np.isfinite(found).all()
        or (found < -0.5).any()
        or (found > np.array([rows, columns]) - 0.5).any()
    ):
        raise InputError(
            f"The landmark {name} was moved to {np.round(found, 1).tolist()} (row, column), outside the picture of {rows} x "
            f"{columns} pixels: move it less far."
        )
    return found


class Loop:
    """A parametrized X-ray in use: markers are dragged, locked, released, and all is undone again.

    ``drag`` only notes where a marker is now; ``advance`` makes one round with the newest places. However fast a mouse moves,
    a round never works on an old place, and nothing is left over when it stops.
    """

    def __init__(self, networks: MarkersAndImage, region: Region, surface: SurfaceImage, progress: Progress = silent) -> None:
        self.networks = networks
        self._wanted: dict[str, np.ndarray] = {}
        self.first = settle(networks, start(networks, region, surface), progress=progress)
        self._past: list[State] = []
        self.state = self.first

    @classmethod
    def resumed(cls, networks: MarkersAndImage, first: State, state: State) -> Loop:
        """A loop that goes on where a saved one was: ``first`` is what :meth:`reset` goes back to."""
        loop = cls.__new__(cls)
        loop.networks, loop._wanted, loop._past = networks, {}, []
        loop.first, loop.state = first, state
        return loop

    def begin(self) -> None:
        """Remember the state that an undo comes back to: called when a drag begins."""
        self._past = [*self._past[1 - _KEPT :], self.state]

    def drag(self, name: str, place: Sequence[float] | np.ndarray) -> None:
        """Note where a marker is now, [row, column]; it replaces the place before it that no round has seen yet."""
        if self.state.locked[self.state.index(name)]:
            raise InputError(f"The landmark {name} is locked: unlock it to move it.")
        self._wanted[name] = _checked(place, name, self.state.surface)

    def advance(self) -> bool:
        """One round with the newest places; false, without any work, when all is at rest or the bound of rounds is reached."""
        wanted, self._wanted = self._wanted, {}
        if not wanted and (self.state.converged or self.state.rounds >= MOST_ROUNDS):
            return False
        self.state = step(self.networks, self.state, wanted)
        return True

    def settle(self, progress: Progress = silent) -> State:
        """All rounds until markers rest, as when a mouse button is released."""
        while self.advance():
            progress(min(self.state.rounds / MOST_ROUNDS, 1.0), f"X-ray and markers, round {self.state.rounds}")
        return self.state

    def lock(self, name: str, locked: bool = True) -> None:
        """Keep a marker where it is, or let it go again."""
        flags = self.state.locked.copy()
        flags[self.state.index(name)] = locked
        self.state = replace(self.state, locked=flags)

    def release(self, name: str) -> None:
        """Let the networks move a marker again that was dragged."""
        flags = self.state.held.copy()
        flags[self.state.index(name)] = False
        self.begin()
        self.state = replace(self.state, held=flags, rounds=0, converged=False)

    def undo(self) -> bool:
        """Back to the state before the last drag, reset or release; false when there is none."""
        self._wanted = {}
        if not self._past:
            return False
        self._past, self.state = self._past[:-1], self._past[-1]
        return True

    def reset(self) -> None:
        """Back to what the surface alone gave; locks stay."""
        self.begin()
        self._wanted = {}
        self.state = replace(self.first, locked=self.state.locked)
