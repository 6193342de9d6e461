"""What a refusal of the command line is, and files that are no CT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk


def refused(found, out: Path, words: str) -> None:
    """The command said one sentence with these words, and wrote nothing."""
    assert found.code == 2
    assert words in found.sentence, found.sentence
    assert found.sentence.startswith("xrayto3d: ") and found.sentence.endswith(".")
    assert "Traceback" not in found.error and found.out == ""
    assert not out.exists()


def write(array: np.ndarray, path: Path, vector: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path))
    return path


def bad_ct(kind: str, folder: Path, good: Path) -> Path:
    """A file that is no CT in HU, of the kind named."""
    ct = sitk.GetArrayFromImage(sitk.ReadImage(str(good))).astype(np.float32)
    path = folder / "bad.nrrd"
    if kind == "missing":
        return path
    if kind == "text":
        path.write_text("not an image")
        return path
    if kind == "empty file":
        path.write_bytes(b"")
        return path
    if kind == "truncated":
        path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
        return path
    if kind == "4D":
        image = sitk.JoinSeries([sitk.GetImageFromArray(ct), sitk.GetImageFromArray(ct)])
        sitk.WriteImage(image, str(path))
        return path
    if kind == "NaN":
        ct[3, 4, 5] = np.nan
    arrays = {
        "2D": lambda: ct[10],
        "one slice": lambda: ct[10:11],
        "NaN": lambda: ct,
        "constant": lambda: np.zeros_like(ct),
        "8 bit": lambda: np.clip((ct + 1000) / 8, 0, 255).astype(np.uint8),
        "unscaled": lambda: (ct + 1024).astype(np.uint16),
        "colour": lambda: np.stack([ct, ct, ct], axis=-1),
    }
    return write(arrays[kind](), path, vector=kind == "colour")
