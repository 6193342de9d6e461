"""A parametrized X-ray that follows its landmarks while they are dragged.

The point list is watched, however it is changed: by the mouse in any view, by the Markups module, or by a script. A change only
notes the newest place of a landmark; rounds of the loop run when the application has no more events waiting, one at a time. So a
mouse that is faster than the networks skips places, nothing queues, and nothing is made anew: pixels and points change in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from XRayTo3DLib.parametrized.loop import Loop, MarkersAndImage, State
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DSlicer.nodes import mrml, parametrized_nodes

#: A landmark whose control point is farther from where it was shown, in mm, was moved by somebody.
_MOVED_MM = 1e-3

Later = Callable[[Callable[[], None]], None]


def _whenIdle() -> Later | None:
    """What runs a callable after all waiting events of the application; ``None`` where there is no application."""
    if getattr(slicer, "app", None) is None:
        return None
    import qt

    return lambda callable_: qt.QTimer.singleShot(0, callable_)


class LiveLoop:
    """The loop of a parametrized X-ray and its nodes, which follow each other. Lengths are in mm, places in pixels.

    - ``nodes``: the image, the point list, the picture in 3D and the surface image;
    - ``later``: runs a round after the events that wait, by default with the application's event loop. Without an application
      there is none: then each change is a round at once, and the end of a drag all of them.
    """

    #: The loops that run, by the ID of their point list.
    running: dict[str, LiveLoop] = {}

    def __init__(
        self, loop: Loop, nodes: parametrized_nodes.Nodes, region: str, networks: tuple[str, str], later: Later | None = None
    ) -> None:
        self.nodes, self._loop, self._region, self._networks = nodes, loop, region, networks
        self._later = later or _whenIdle()
        self._waiting = self._showing = self._dragging = self._begun = False
        self._shown = np.full((len(loop.state.names), 3), np.nan)
        self.rounds = 0
        points = nodes.pointsNode
        events = {
            points.PointStartInteractionEvent: self._onStart,
            points.PointModifiedEvent: self._onModified,
            points.PointEndInteractionEvent: self._onEnd,
            points.PointPositionDefinedEvent: self._onModified,
        }
        self._observers = [(points, points.AddObserver(event, call)) for event, call in events.items()]
        scene = slicer.mrmlScene
        self._observers += [
            (scene, scene.AddObserver(event, self._onScene)) for event in (scene.NodeRemovedEvent, scene.StartCloseEvent)
        ]
        before = LiveLoop.running.pop(points.GetID(), None)
        if before is not None:
            before.detach()
        LiveLoop.running[points.GetID()] = self
        self._show()
        self._save()

    @property
    def networks(self) -> MarkersAndImage:
        """The marker and the image network."""
        return self._loop.networks

    @property
    def region(self) -> str:
        """The name of the region, or the path of its file."""
        return self._region

    @property
    def state(self) -> State:
        """What the loop is at."""
        return self._loop.state

    @property
    def first(self) -> State:
        """What the surface alone gave."""
        return self._loop.first

    @property
    def attached(self) -> bool:
        """Whether the nodes are still followed."""
        return bool(self._observers)

    def moved_mm(self) -> dict[str, float]:
        """How far each landmark is from where the surface alone put it; those that are absent are left out."""
        way = (self.state.points - self.first.points) * self.state.surface.projection.spacing
        return {name: float(np.hypot(*one)) for name, one in zip(self.state.names, way, strict=True) if np.isfinite(one).all()}

    def move(self, name: str, across_mm: float, up_mm: float, progress: Progress = silent) -> None:
        """Move a landmark by mm (see :meth:`State.shifted`), and let the others and the X-ray follow until they rest."""
        self._loop.drag(name, self.state.shifted(name, across_mm, up_mm))
        self._loop.begin()
        self.settle(progress)

    def settle(self, progress: Progress = silent) -> State:
        """All rounds until the landmarks rest, 20 at most."""
        self._loop.settle(progress)
        self._rest()
        return self.state

    def lock(self, name: str, locked: bool = True) -> None:
        """Keep a landmark where it is, or let it go again."""
        self.nodes.pointsNode.SetNthControlPointLocked(self.state.index(name), locked)

    def release(self, name: str) -> None:
        """Let the networks move a landmark again that was dragged."""
        self._loop.release(name)
        self._request()

    def undo(self) -> bool:
        """Back to before the last drag, move, release or reset; false when there was none."""
        done = self._loop.undo()
        if done:
            self._rest()
        return done

    def reset(self) -> None:
        """Back to what the surface alone gave; locks stay."""
        self._loop.reset()
        self._rest()

    def adopt(self, state: State) -> None:
        """Go on from another state of the same surface, as one fitted to a real X-ray; it can be undone."""
        self._loop.begin()
        self._loop.state = state
        self._rest()

    def catchUp(self, places: np.ndarray) -> None:
        """Take landmarks (LPS mm, (N, 3)) that are not where they were shown as dragged there, and settle."""
        with slicer.util.NodeModify(self.nodes.pointsNode):
            self._showing = True
            for index, place in enumerate(places):
                if np.isfinite(place).all():
                    mrml.move_markup(self.nodes.pointsNode, index, place)
            self._showing = False
        self._onModified(self.nodes.pointsNode, "")

    def detach(self) -> None:
        """Follow the nodes no longer; the scene keeps what they show."""
        for node, tag in self._observers:
            node.RemoveObserver(tag)
        self._observers = []
        for key in [key for key, loop in LiveLoop.running.items() if loop is self]:
            del LiveLoop.running[key]

    # Events

    def _onScene(self, caller: Any, event: str) -> None:
        """A loop ends with its nodes."""
        mine = (self.nodes.imageNode, self.nodes.pointsNode)
        if event == "StartCloseEvent" or any(slicer.mrmlScene.GetNodeByID(node.GetID() or "") is not node for node in mine):
            self.detach()

    def _onStart(self, caller: Any, event: str) -> None:
        self._dragging, self._begun = True, False

    def _onEnd(self, caller: Any, event: str) -> None:
        self._onModified(caller, event)
        self._dragging = False
        if self._begun and self._later is None:
            self.settle()
        else:
            self._request()

    def _onModified(self, caller: Any, event: str) -> None:
        if self._showing:
            return
        self._readLocks()
        found = mrml.markups_from_node(self.nodes.pointsNode)
        moved = np.isfinite(found).all(axis=1) & ~(np.abs(found - self._shown).max(axis=1) <= _MOVED_MM)
        places = self._places(found)
        changed = False
        for index in np.flatnonzero(moved):
            if self.state.locked[index]:
                continue
            if not (self._dragging and self._begun):
                self._loop.begin()
                self._begun = self._dragging
            self._loop.drag(self.state.names[index], places[index])
            changed = True
        if changed:
            self._request()
        elif moved.any():
            self._show()  # a locked one goes back

    def _places(self, found: np.ndarray) -> np.ndarray:
        """[row, column] (N, 2) of points in LPS mm, seen along the rays, and kept on the picture."""
        world = np.linalg.inv(mrml.to_world(self.nodes.imageNode))
        projection = self.state.surface.projection
        columns_rows = projection.project(found @ world[:3, :3].T + world[:3, 3])
        return np.clip(columns_rows[:, ::-1], 0, np.array(projection.size) - 1)

    def _readLocks(self) -> None:
        points = self.nodes.pointsNode
        locks = [points.GetNthControlPointLocked(index) for index in range(len(self.state.names))]
        for name, locked, before in zip(self.state.names, locks, self.state.locked, strict=True):
            if locked != before:
                self._loop.lock(name, locked)

    # Rounds

    def _request(self) -> None:
        """A round when nothing else waits; asking again before it runs changes nothing."""
        if self._later is None:
            self._turn()
        elif not self._waiting:
            self._waiting = True
            self._later(self._turn)

    def _turn(self) -> None:
        """One round with the newest places."""
        self._waiting = False
        if not self.attached:
            return
        if self._loop.advance():
            self.rounds += 1
            self._show()
            if self._later is not None:
                self._request()
        elif not self._dragging:
            self._rest()

    def _rest(self) -> None:
        self._show()
        self._save()

    def _show(self) -> None:
        """The state in the nodes: pixels and points, in place. What the mouse holds is put onto the picture, not back."""
        self._showing = True
        points, state = self.nodes.pointsNode, self.state
        try:
            world = mrml.to_world(self.nodes.imageNode)
            wanted = parametrized_nodes.positions(state) @ world[:3, :3].T + world[:3, 3]
            with slicer.util.NodeModify(points):
                found = mrml.markups_from_node(points)
                for index, (now, then) in enumerate(zip(found, wanted, strict=True)):
                    there = np.isfinite(then).all()
                    if there != np.isfinite(now).all() or (there and np.abs(now - then).max() > _MOVED_MM):
                        mrml.move_markup(points, index, then)
                    if points.GetNthControlPointLocked(index) != bool(state.locked[index]):
                        points.SetNthControlPointLocked(index, bool(state.locked[index]))
            self._shown = mrml.markups_from_node(points)
            parametrized_nodes.show_image(self.nodes, state.xray)
        finally:
            self._showing = False

    def _save(self) -> None:
        parametrized_nodes.save(self.nodes, self._region, self._networks, self.first, self.state)
