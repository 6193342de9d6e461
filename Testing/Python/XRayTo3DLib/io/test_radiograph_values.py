"""What the numbers of an X-ray file are, by what the file states, and which of its pixels are measurements: the kinds in tables."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from xray_files import GEOMETRY, write_dicom

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.images.open_beam import broken_pixels, open_background
from XRayTo3DLib.io.radiograph_values import PICTURE_WHITE
from XRayTo3DLib.io.radiographs import read_radiograph

SHAPE = (72, 90)
LIN = {"PixelIntensityRelationship": "LIN", "PixelIntensityRelationshipSign": 1, "PresentationIntentType": "FOR PROCESSING"}
LOG = {"PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": -1, "PresentationIntentType": "FOR PROCESSING"}


def body() -> np.ndarray:
    """Line integrals [row, column] of an ellipse between 1.5 and 3 with a dense square of 4.5, in air."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    depth = 1 - ((rows - 38) / 27) ** 2 - ((columns - 45) / 30) ** 2
    picture = np.where(depth > 0, 1.5 + 1.5 * np.sqrt(np.maximum(depth, 0)), 0)
    picture[30:37, 40:47] = 4.5
    return picture


def beam(truth: np.ndarray, open_beam: float = 40000.0) -> np.ndarray:
    return np.rint(open_beam * np.exp(-truth)).astype(np.uint16)


def lut(values: np.ndarray, kind: str = "US", function: str = "") -> Dataset:
    table = Dataset()
    table.LUTDescriptor, table.LUTData, table.ModalityLUTType = [len(values), 0, 16], values.astype("<u2").tobytes(), kind
    if function:
        table.LUTFunction = function
    return table


def test_the_meaning_of_the_values_is_what_the_file_states(tmp_path):
    truth = body()
    seen, codes = beam(truth), np.arange(4096)
    decades = np.rint(400 * truth).astype(np.uint16)  # logarithmic, 400 a line integral
    back = np.maximum(np.rint(60000 * np.exp(-codes / 400)), 1)
    rising, unprocessed = np.rint(4095 * (truth / 4.5) ** 0.7).astype(np.uint16), {"PresentationIntentType": "FOR PROCESSING"}
    exact, gain, relative = (), ("gain",), ("offset", "gain", "curve")
    cases = [
        ("intensity", seen, "DX", LIN, exact),
        ("in calibrated units", seen, "RTIMAGE", {"RescaleSlope": "5e-06", "RescaleIntercept": "0", "RescaleType": "CU"}, exact),
        ("a dose in mGy", seen, "CR", {"RescaleSlope": "0.002", "RescaleIntercept": "0", "RescaleType": "MGY"} | LIN, exact),
        ("a dose stored upside down", 65535 - seen, "RTIMAGE", LIN | {"PixelIntensityRelationshipSign": -1, "RescaleType": "CU",
         "RescaleSlope": "-1", "RescaleIntercept": "65535"}, exact),
        ("an intensity with a window", seen, "DX", LIN | {"WindowCenter": "2000", "WindowWidth": "300"}, exact),
        ("low for processing", beam(truth, 900), "DX", LIN, exact),
        ("a logarithm", decades, "DX", LOG, gain),
        ("a falling logarithm", 4000 - decades, "CR", LOG | {"PixelIntensityRelationshipSign": 1}, gain),
        ("a logarithm of a C-arm", decades, "XA", LOG, ("offset", "gain")),
        ("a logarithm of a C-arm and the way back", decades, "XA", LOG | {"ModalityLUTSequence": [lut(back)]}, ("offset",)),
        ("a logarithm with a table back", decades, "DX",
         LOG | {"PixelIntensityRelationshipLUTSequence": [lut(back, function="TO_LINEAR")]}, exact),
        ("an intensity of a C-arm", seen, "XA", LIN, ("offset",)),
        ("processed for display", rising, "DX", LOG | {"PresentationIntentType": "FOR PRESENTATION"}, relative),
        ("a linear picture for display", seen, "DX", LIN | {"PresentationIntentType": "FOR PRESENTATION"}, relative),
        ("for display of a C-arm", rising, "XA", {"PixelIntensityRelationship": "DISP"}, relative),
        ("nothing said", rising, "CR", unprocessed, relative),
        ("a falling table", 4095 - rising, "CR", {"ModalityLUTSequence": [lut(4095 - codes)]}, relative),
        ("upside down intensity", 65535 - seen, "DX", LIN | {"PixelIntensityRelationshipSign": -1}, relative),
    ]  # fmt: skip
    for name, pixels, modality, tags, unknown in cases:
        for photometric in ("MONOCHROME2", "MONOCHROME1"):
            if photometric == "MONOCHROME1" and "PixelIntensityRelationshipSign" not in tags:
                continue  # nothing else says which end is bone
            path = write_dicom(tmp_path / "a.dcm", pixels, modality, photometric, 16, **GEOMETRY, **tags)
            found = read_radiograph(path, "AP", 0.2)
            assert found.unknown == unknown, name
            values = found.line_integrals
            if unknown in (exact, ("offset",)):
                assert np.abs(values - truth)[truth < 4].max() < 0.02 and np.abs(values - truth).max() < 0.1, name
            elif "curve" not in unknown:
                assert values / values.max() == pytest.approx(truth / truth.max(), abs=2e-3), name
            else:
                order = np.argsort(truth, axis=None, kind="stable")
                assert (np.diff(values.ravel()[order]) >= -1e-6).all() and values.max() == PICTURE_WHITE, name
    path = write_dicom(tmp_path / "a.dcm", seen, **GEOMETRY, **LIN | {"ModalityLUTSequence": [Dataset()]})
    with pytest.raises(InputError, match="The Modality LUT of"):
        read_radiograph(path)


def test_the_open_beam_is_that_of_a_region(tmp_path, rng):
    truth = body()
    hot, cluster, column, dead = (beam(truth, 4000) for _ in range(4))
    hot[rng.integers(0, SHAPE[0], 20), rng.integers(0, SHAPE[1], 20)] = 65000
    cluster[10:12, 60:62] = 60000
    column[:, 5] = 9000
    dead[rng.integers(0, SHAPE[0], 20), rng.integers(0, SHAPE[1], 20)] = 0
    noisy = rng.poisson(beam(truth, 4000)).astype(np.uint16)
    full = truth.copy()
    full[truth == 0] = 1.5  # the patient fills the field: attenuation rises from its least by and by
    full = 2 + full + 0.4 * np.hypot(*(np.mgrid[: SHAPE[0], : SHAPE[1]] / 40))
    clipped = np.minimum(beam(truth, 9000), 4095)
    cases = [
        ("hot pixels", hot, (), 0.03), ("a hot cluster", cluster, (), 0.03), ("a hot column", column, (), 0.03),
        ("dead pixels", dead, (), 0.03), ("noise", noisy, (), 0.06), ("a full field", beam(full, 60000), ("offset",), None),
        ("a clipped background", clipped, ("offset",), None),
    ]  # fmt: skip
    for name, pixels, unknown, within in cases:
        bits = 12 if name == "a clipped background" else 16
        found = read_radiograph(write_dicom(tmp_path / "a.dcm", pixels, bits=bits, **GEOMETRY, **LIN))
        assert found.unknown == unknown, name
        if within is not None:
            assert abs(float(np.median(found.line_integrals[:8]))) < within, name
            assert float(np.median(found.line_integrals[32:35, 42:45])) == pytest.approx(4.5, abs=0.1 + 2 * within), name
    assert not found.valid[truth == 0].any() and found.valid[truth > 1].all()  # clipped ones are no measurement
    read = read_radiograph(write_dicom(tmp_path / "a.dcm", hot, bits=16, **GEOMETRY, **LIN))
    assert np.array_equal(read.valid, hot != 65000) and any("hot or dead" in note for note in read.notes)


def test_edges_noise_and_wires_are_no_broken_pixels(rng):
    picture = body()
    picture[:, 70] += 2.0  # a wire
    noisy = -np.log(rng.poisson(30 * np.exp(-picture / 3)).clip(0.5) / 30)
    everywhere = np.ones(SHAPE, bool)
    assert not broken_pixels(picture, everywhere).any() and broken_pixels(noisy, everywhere).mean() < 1e-3
    assert open_background(picture, everywhere)[0, 0] and open_background(picture[20:50, 30:60], everywhere[:30, :30]) is None


def test_pixels_that_the_tags_declare_to_be_none_are_left_out(tmp_path):
    truth = body()
    rows, columns = np.mgrid[1 : SHAPE[0] + 1, 1 : SHAPE[1] + 1]
    inner = (rows >= 6) & (rows <= 66) & (columns >= 9) & (columns <= 82)
    round_ = (rows - 36.0) ** 2 + (columns - 45.0) ** 2 <= 33**2
    triangle = (columns >= 4) & (rows >= 5) & (rows - 5 <= 64) & (columns - 4 <= (rows - 5) * 80 / 64)
    strip = columns > 8
    edges = {"LeftVerticalEdge": 9, "RightVerticalEdge": 82, "UpperHorizontalEdge": 6, "LowerHorizontalEdge": 66}
    shutter = {"ShutterShape": "RECTANGULAR"} | {f"Shutter{key}": str(value) for key, value in edges.items()}
    collimator = {"CollimatorShape": "RECTANGULAR"} | {f"Collimator{key}": str(value) for key, value in edges.items()}
    circle = {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": ["36", "45"], "RadiusOfCircularShutter": "33"}
    both = shutter | circle | {"ShutterShape": ["RECTANGULAR", "CIRCULAR"]}
    corners = {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": ["5", "4", "69", "4", "69", "84"]}
    padding = {"PixelPaddingValue": 60000}
    square = {"ImagerPixelSpacing": [0.2, 0.2]}
    cases = [
        ("padding", strip, 60000, padding, None), ("padding of 0", strip, 0, {"PixelPaddingValue": 0}, None),
        ("a range of padding", strip, 59990, padding | {"PixelPaddingRangeLimit": 59000}, None),
        ("shutter", inner, 60000, shutter, None), ("collimator", inner, 20, collimator, None), ("circle", round_, 0, circle, None),
        ("two shapes", inner & round_, 60000, both, None), ("polygon", triangle, 60000, corners, 2),
    ]  # fmt: skip
    for name, kept, instead, tags, slack in cases:
        pixels = np.where(kept, beam(truth), instead).astype(np.uint16)
        found = read_radiograph(write_dicom(tmp_path / "a.dcm", pixels, bits=16, **GEOMETRY | square | LIN | tags))
        thin = kept & found.valid & (truth < 4)
        assert found.calibrated and found.line_integrals[thin] == pytest.approx(truth[thin], abs=0.02), name
        if slack is None:
            assert np.array_equal(found.valid, kept), name
        else:  # pixels that an oblique edge cuts may count or not
            assert np.count_nonzero(found.valid != kept) < slack * sum(SHAPE), name
        assert (found.line_integrals[~found.valid] == 0).all() and any("left out" in note for note in found.notes), name
        other = np.where(found.valid, pixels, 12345 if "padding" not in name else pixels).astype(np.uint16)
        again = read_radiograph(write_dicom(tmp_path / "b.dcm", other, bits=16, **GEOMETRY | square | LIN | tags))
        assert np.array_equal(again.line_integrals, found.line_integrals), name
    for tags, words in (
        ({"ShutterShape": "RECTANGULAR"}, "without its edges"),
        (shutter | {"ShutterLeftVerticalEdge": "85"}, "leaves nothing"),
        ({"ShutterShape": "STAR"}, "unknown shape"),
    ):
        with pytest.raises(InputError, match=words):
            read_radiograph(write_dicom(tmp_path / "a.dcm", beam(truth), bits=16, **GEOMETRY | LIN | tags))
