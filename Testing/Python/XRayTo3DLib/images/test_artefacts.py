"""What was never measured on a picture is found by its look, and the body is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from XRayTo3DLib.geometry.views import fit_projection
from XRayTo3DLib.images.artefacts import artefacts, without_artefacts
from XRayTo3DLib.images.radiograph import UNKNOWN, Radiograph
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.simulation.phantom import thorax_grid, thorax_phantom


def picture() -> Radiograph:
    """A thorax on a picture of 8 bits, cut by the field as chests are: no open beam at the sides."""
    projection = fit_projection("AP", thorax_grid(), 1.5, 1500.0)
    rows, columns = projection.size
    window = slice(rows // 4, 3 * rows // 4), slice(columns // 4, 3 * columns // 4)
    projection = projection.cropped(window)
    values = thorax_phantom().line_integrals(projection)
    noise = np.random.default_rng(1).normal(0, 0.01, values.shape)
    shown = np.round(20 + 200 * np.clip(values / values.max() + noise, 0, 1))
    return Radiograph(shown.astype(np.float32), projection, "AP", unknown=UNKNOWN)


def test_frames_collimation_and_letters_are_found():
    plain = picture()
    rows, columns = plain.projection.size
    image = Image.new("L", (columns, rows), 0)
    ImageDraw.Draw(image).text((8, 8), "L 12", fill=1, font_size=24)
    letters = np.asarray(image) > 0
    ring = np.ones((rows, columns), dtype=bool)
    ring[12:-9, 15:-6] = False
    turned = ndimage.rotate(np.ones((rows - 60, columns - 60)), 7, reshape=True, order=0)
    tilted = np.ones((rows, columns), dtype=bool)
    top, left = ((n - m) // 2 for n, m in zip(tilted.shape, turned.shape, strict=True))
    tilted[top : top + turned.shape[0], left : left + turned.shape[1]] = turned < 0.5
    for name, mask, value in (
        ("white letters", letters, 255),
        ("a black frame", ring, 0),
        ("a white frame", ring, 255),
        ("a turned black collimation", tilted, 0),
    ):
        spoilt = replace(plain, line_integrals=np.where(mask, value, plain.line_integrals).astype(np.float32))
        found = artefacts(spoilt)
        assert (found & mask).sum() > 0.95 * mask.sum(), name
        near = ndimage.binary_dilation(mask, iterations=4)
        assert (found & ~near).mean() < 0.003, name
        cleaned = without_artefacts(spoilt)
        assert cleaned.valid is not None
        np.testing.assert_array_equal(cleaned.valid, ~found)
        assert "left out" in cleaned.notes[-1]


def test_a_body_in_the_open_beam_keeps_it():
    projection = fit_projection("AP", thorax_grid(), 2.0, 1500.0)
    values = thorax_phantom().line_integrals(projection).astype(np.float32)
    whole = Radiograph(values, projection, "AP", unknown=UNKNOWN)
    assert artefacts(whole).mean() < 0.002
    flat = replace(whole, line_integrals=np.zeros_like(values))
    assert without_artefacts(flat) is flat


def test_reading_a_picture_masks_them(tmp_path):
    shown = picture().line_integrals.astype(np.uint8)
    shown[:10], shown[-10:], shown[:, :10], shown[:, -10:] = 0, 0, 0, 0
    Image.fromarray(shown).save(tmp_path / "a.png")
    found = read_radiograph(tmp_path / "a.png", "AP", 0.6)
    assert found.valid is not None and not found.valid[:10].any() and found.valid[20:-20, 20:-20].mean() > 0.99
    assert any("as a border" in note for note in found.notes)
