"""Which view an X-ray is, from all that DICOM has for it: angles of a C-arm, codes, and words as people type them.

Sources: DICOM PS3.3 C.8.7.5 (XA positioner), C.8.11.5 (DX positioning), C.8.1.1 (CR series); PS3.16 CID 4010, 4011, 4014.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry import views
from XRayTo3DLib.io.dicom_headers import number, word, words

#: Two statements of a view that are further apart than this contradict each other.
CONTRADICTION_DEGREES = 30.0

#: Codes of CID 4010 (SNOMED CT and the older SNOMED RT) by the view they mean, as :func:`_of_words` reads it.
_CODES = {
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("272479007", "R-10214", "R-40888"), "PA"),
    **dict.fromkeys(("399033003", "R-10202"), "FRONTAL"),
    **dict.fromkeys(("399173006", "R-10236"), "LEFT LATERAL"),
    **dict.fromkeys(("399198007", "R-10232"), "RIGHT LATERAL"),
    **dict.fromkeys(("399067008", "R-102CD", "30730003", "G-A145"), "LATERAL"),
    **dict.fromkeys(("399260004", "R-10224"), "MEDIOLATERAL"),
    **dict.fromkeys(("399352003", "R-10228"), "LATEROMEDIAL"),
}
_FRONT = {
    **dict.fromkeys(("ANTEROPOSTERIOR", "ANTERIORPOSTERIOR", "ANTERIORTOPOSTERIOR", "VENTRODORSAL"), "AP"),
    **dict.fromkeys(("POSTEROANTERIOR", "POSTERIORANTERIOR", "POSTERIORTOANTERIOR", "DORSOVENTRAL"), "PA"),
}
_LATERAL = {"LAT", "LATERAL", "LATERALE", "SAGITTAL", "PROFILE"}
_LEFT, _RIGHT = {"L", "LT", "LE", "LEFT"}, {"R", "RT", "RIGHT"}
_SIDED = {"LL": "LLAT", "LLAT": "LLAT", "LTLAT": "LLAT", "RL": "RLAT", "RLAT": "RLAT", "RTLAT": "RLAT"}
_OBLIQUE = {"OBL", "OBLIQUE", "LAO", "RAO", "LPO", "RPO", "LLO", "RLO"}
_DECUBITUS = {"LLD", "RLD", "DECUBITUS", "DECUB"}
_ARM = re.compile(r"(LAO|RAO|LPO|RPO)(\d+(?:\.\d+)?)")


@dataclass(frozen=True, eq=False)
class StatedView:
    """A view that a file states: its beam axis (LPS), how it is shown, and a ``word`` for people to read.

    ``exact`` says that the axis comes from angles, not from a word.
    """

    word: str
    direction: np.ndarray
    from_detector: bool
    exact: bool = False


def stated_view(tags: Dataset, notes: list[str], name: str) -> tuple[StatedView | None, str]:
    """The view that the tags state, and why they state none (empty where they just say nothing).

    The angles of a C-arm come first (elsewhere they are often filled in with zeros), then ViewPosition and ViewCodeSequence,
    which must agree. What had to be assumed is added to ``notes``.
    """
    side = next((text for text in (word(tags, "ImageLaterality"), word(tags, "Laterality")) if text in ("L", "R")), "")
    position, code = " ".join(words(tags, "ViewPosition")), _coded(tags)
    found: list[tuple[str, StatedView]] = []
    reason = ""
    heard: list[list[str]] = []
    for where, told in (("ViewPosition", position), ("ViewCodeSequence", code)):
        if told:
            heard.append([])
            stated, why = _of_words(told, side, heard[-1])
            reason = reason or why
            if stated is not None:
                found.append((where, stated))
    angles = _of_angles(tags)
    if angles is not None and (_is_arm(tags) or not found):
        for where, stated in found:
            if _apart(stated, angles) > CONTRADICTION_DEGREES:
                notes.append(f"{where} says {stated.word}, but the angles of the positioner, which are used, say {angles.word}.")
        return angles, ""
    if len(found) == 2 and _apart(found[0][1], found[1][1]) > CONTRADICTION_DEGREES:
        return None, f"contradicts itself: ViewPosition says {found[0][1].word} and ViewCodeSequence {found[1][1].word}"
    if angles is not None and found and angles.word != "LAO0" and _apart(angles, found[0][1]) > CONTRADICTION_DEGREES:
        notes.append(f"The angles of the positioner would be {angles.word}, but the view is named {found[0][1].word}.")
    if not found:
        return None, reason
    notes += heard[0 if len(found) == 1 and found[0][0] == "ViewPosition" else -1]
    notes += _modified(tags)
    return found[0][1], ""


def arm_word(primary: float, secondary: float) -> str:
    """The word of a C-arm's two angles in degrees, to a thousandth."""
    primary, secondary = round(primary, 3), round(secondary, 3)
    tilt = f"{'CRAN' if secondary >= 0 else 'CAUD'}{abs(secondary):g}" if secondary else ""
    return f"{'LAO' if primary >= 0 else 'RAO'}{abs(primary):g}{tilt}"


def _is_arm(tags: Dataset) -> bool:
    return word(tags, "Modality") in ("XA", "RF") or word(tags, "PositionerType") == "CARM"


def _of_angles(tags: Dataset) -> StatedView | None:
    primary = number(tags, "PositionerPrimaryAngle")
    if primary is None or word(tags, "PositionerType") not in ("", "CARM"):  # of other stands the angles mean something else
        return None
    secondary = number(tags, "PositionerSecondaryAngle") or 0.0
    return StatedView(arm_word(primary, secondary), views.carm_direction(primary, secondary), True, True)


def _apart(one: StatedView, other: StatedView) -> float:
    return float(np.degrees(np.arccos(np.clip(one.direction @ other.direction, -1, 1))))


def _of_words(text: str, side: str, notes: list[str]) -> tuple[StatedView | None, str]:
    """The one view that a text names, or why it names none. ``side`` is that of the part of the body that is shown."""
    upper = text.upper()
    arm = _ARM.search(upper.replace(" ", ""))
    try:
        if _says_all(upper) or arm:
            return StatedView(text, *views.parse_view(upper)), ""
    except InputError:
        pass
    tokens = re.findall(r"[A-Z]+", upper.replace(".", ""))
    compact = "".join(tokens)
    if any(token in _DECUBITUS for token in tokens) or "DECUB" in compact:
        return None, f"says {text!r}, which is how the patient lies, not where the beam goes"
    if any(token in _OBLIQUE for token in tokens):
        return None, f"says {text!r}, but not by how many degrees (name it as LAO45, for example)"
    found = {front for joined, front in _FRONT.items() if joined in compact}
    found |= {"AP" if token in ("AP", "VD") else "PA" for token in tokens if token in ("AP", "PA", "VD", "DV")}
    found |= {_SIDED[token] for token in tokens if token in _SIDED}
    if not found and ("FRONTAL" in tokens or "FRONT" in tokens):
        notes.append("The view is said to be frontal: AP is assumed.")
        found = {"AP"}
    if any(token in _LATERAL for token in tokens) and not found & {"LLAT", "RLAT"}:
        found.add(_lateral(set(tokens), side, notes))
    outward, inward = "MEDIOLATERAL" in compact or "ML" in tokens, "LATEROMEDIAL" in compact or "LM" in tokens
    if outward or inward:
        if not side:
            return None, f"says {text!r}, but not of which side of the body"
        found = {"LLAT" if (side == "L") == outward else "RLAT"}
    if len(found) != 1:
        return None, f"says {text!r}, which is not known"
    view = found.pop()
    return StatedView(text if text in ("AP", "PA", "LL", "RL") else view, *views.parse_view(view)), ""


def _says_all(word: str) -> bool:
    """Whether a word of :data:`views.VIEW_WORDS` says all: a plain lateral does not say which side is at the detector."""
    return word.strip() not in ("LAT", "LATERAL", "FRONTAL")


def _lateral(tokens: set[str], side: str, notes: list[str]) -> str:
    if tokens & _RIGHT and not tokens & _LEFT:
        return "RLAT"
    if tokens & _LEFT and not tokens & _RIGHT:
        return "LLAT"
    if side:
        notes.append(
            f"Which side is at the detector is not said: the {'left' if side == 'L' else 'right'}, which is shown, is assumed."
        )
        return f"{side}LAT"
    notes.append("Which side is at the detector is not said: the left is assumed.")
    return "LLAT"


def _coded(tags: Dataset) -> str:
    """What ViewCodeSequence says, as words."""
    for item in sequence(tags, "ViewCodeSequence"):
        value = word(item, "CodeValue")
        return _CODES.get(value, word(item, "CodeMeaning") or value)
    return ""


def _modified(tags: Dataset) -> list[str]:
    """Notes of what tilts a view by an angle that is not stated: modifiers, and methods called after people."""
    items = [*sequence(tags, "ViewModifierCodeSequence"), *sequence(tags, "ProjectionEponymousNameCodeSequence")]
    for view in sequence(tags, "ViewCodeSequence"):
        items += sequence(view, "ViewModifierCodeSequence")
    told = [word(item, "CodeMeaning") or word(item, "CodeValue") for item in items]
    return [
        f"The view is also said to be {text!r}, which names no angle: the beam is taken to be that of the view." for text in told
    ]


def sequence(tags: Dataset, keyword: str) -> Sequence[Dataset]:
    """The items of a sequence; none where it is missing or no sequence."""
    value = tags.get(keyword)
    return (
        [item for item in value if isinstance(item, Dataset)] if isinstance(value, Sequence) and not isinstance(value, str) else []
    )
