"""Simulated X-rays as devices store them, read back as anybody's files are."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.io.radiographs import read_radiograph
from XRayTo3DLib.simulation.devices import write_as
from XRayTo3DLib.simulation.drr import render_drr
from XRayTo3DLib.simulation.phantom import thorax_phantom

AIM = (5.0, -20.0, 130.0)
FAR = {"source_to_detector": 1800.0, "source_to_isocentre": 1500.0}
SCANNER = {"source_to_detector": 1085.0, "source_to_isocentre": 595.0}
AROUND = np.array(AIM) + np.array([[0, 0, 0], [90, 0, 0], [0, 90, 0], [0, 0, 90], [-50, 70, -120.0]])
#: What each format has no place for, and what it does not say of its scale.
CARRIED = {
    "DX": ({"isocentre": AIM}, ()),
    "XA": ({"isocentre": AIM}, ("offset",)),
    "CR": ({"isocentre": AIM, "source_to_isocentre": 1500.0}, ("offset", "gain", "curve")),
    "topogram": ({}, ("gain",)),
    "PNG": ({"isocentre": AIM, "spacing": 8.0, **FAR}, ("offset", "gain", "curve")),
}


def view(word: str, device: str) -> ViewSpec:
    scan = {**SCANNER, "scan_axis": "column"} if device == "topogram" else FAR
    return ViewSpec.parse(word, isocentre=AIM, spacing=8.0, **scan)


@pytest.fixture(scope="module")
def aimed_ct() -> Volume:
    """The thorax phantom around the point that all beams are aimed at."""
    volume = thorax_phantom().volume(Grid.centred((0, 0, 0), (38, 28, 34), 10.0), supersample=1)
    return replace(volume, grid=Grid.centred(AIM, (38, 28, 34), 10.0))


@pytest.mark.parametrize("device", CARRIED)
def test_each_format_carries_what_it_can(aimed_ct, tmp_path, device):
    given, unknown = CARRIED[device]
    for word in ("AP", "LAT"):
        made = render_drr(aimed_ct, [view(word, device).projection(aimed_ct.grid)], [word])[0]
        path = tmp_path / f"{word}.{'png' if device == 'PNG' else 'dcm'}"
        write_as(made, device, path, AIM)
        needs_view = device in ("topogram", "PNG")
        found = read_radiograph(path, word if needs_view else None, **given)
        # A localizer's picture stands in the isocentre, and its rays are the same.
        np.testing.assert_allclose(found.projection.project(AROUND), made.projection.project(AROUND), atol=1e-3, err_msg=word)
        assert found.projection.beam == made.projection.beam and found.unknown == unknown
        like = np.corrcoef(found.line_integrals.ravel(), made.line_integrals.ravel())[0, 1]
        assert like > (0.99 if device == "PNG" else 0.99999)
        if "gain" not in unknown:  # counts of 16 bits, and the open beam a background region
            assert np.abs(found.line_integrals - made.line_integrals).max() < 0.02
        if device != "PNG" and shutil.which("dciodvfy"):
            told = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False)
            assert b"Error" not in told.stdout + told.stderr, told.stderr


def test_what_a_device_has_not_is_refused(aimed_ct, tmp_path):
    cone, scanned = (render_drr(aimed_ct, [view("AP", d).projection(aimed_ct.grid)], ["AP+3"])[0] for d in ("DX", "topogram"))
    for radiograph, device, words in (
        (cone, "MR", "device 'MR' is not known"),
        (cone, "topogram", "topogram has a scanned beam"),
        (scanned, "XA", "XA has a cone beam"),
        (cone, "CR", r"no word for the view 'AP\+3'"),
    ):
        with pytest.raises(InputError, match=words):
            write_as(radiograph, device, tmp_path / "a.dcm", AIM)
    assert list(tmp_path.iterdir()) == []
