"""One frame of a file that holds several: which one is meant, and what the header says of it.

Sources: DICOM PS3.3 C.7.6.6 (multi-frame), C.8.7.5.1.3 (increments of the positioner's angles), C.7.6.16 (functional groups).
"""

from __future__ import annotations

import copy

from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.io.dicom_headers import number, numbers, word
from XRayTo3DLib.io.dicom_views import sequence

_ANGLES = ("PositionerPrimaryAngle", "PositionerSecondaryAngle")
_TABLE = ("TableVerticalIncrement", "TableLateralIncrement", "TableLongitudinalIncrement")


def chosen_frame(count: int, frame: int | None, name: str) -> int:
    """The index from 0 of ``frame``, which counts from 1; the only frame by default.

    Raises :class:`InputError` when there are several and none is named, or when there is no such frame.
    """
    if frame is None and count == 1:
        return 0
    if frame is None:
        raise InputError(f"{name} holds {count} frames, and an X-ray is one: say which frame, from 1 to {count}.")
    if not isinstance(frame, int) or isinstance(frame, bool) or not 1 <= frame <= count:
        raise InputError(f"{name} has no frame {frame!r}: it holds {count}, which count from 1.")
    return frame - 1


def frame_count(tags: Dataset) -> int:
    """NumberOfFrames, 1 where it is not told."""
    return max(1, int(number(tags, "NumberOfFrames") or 1))


def frame_tags(tags: Dataset, index: int, notes: list[str]) -> Dataset:
    """The header of the frame ``index`` (from 0): its functional groups and the angles of its place in the run.

    What a moving table does to the patient's place is said in ``notes``.
    """
    found = copy.copy(tags)
    groups = [
        *sequence(tags, "SharedFunctionalGroupsSequence")[:1],
        *sequence(tags, "PerFrameFunctionalGroupsSequence")[index:][:1],
    ]
    for group in groups:
        for macro in group:
            for item in sequence(group, macro.keyword)[:1]:
                for element in item:
                    if element.tag not in tags:
                        found[element.tag] = element
    for keyword in _ANGLES:
        first, steps = number(found, keyword), numbers(tags, f"{keyword}Increment")
        if first is None or not steps or word(tags, "PositionerMotion") == "STATIC":
            continue
        if len(steps) == frame_count(tags) > 1:
            setattr(found, keyword, first + steps[index])  # offsets from the first angle, one a frame
        elif len(steps) == 1:
            setattr(found, keyword, first + index * steps[0])
        else:
            notes.append(f"{keyword}Increment has {len(steps)} values for {frame_count(tags)} frames and is not used.")
    if index and any(any(numbers(tags, keyword)) for keyword in _TABLE):
        notes.append("The table moved during the run: how far the patient was moved until this frame is not taken into account.")
    return found
