"""One pair of X-rays through every format, with a model that only back-projects: what each format carries."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from XRayTo3DLib.evaluation.formats import FORMATS, compare_formats
from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import ViewSpec
from XRayTo3DLib.images.radiograph import UNKNOWN
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.report.formats import format_section
from XRayTo3DLib.simulation.phantom import thorax_phantom

AIM = (5.0, -20.0, 130.0)
#: What is unknown, dB against the volume from exact line integrals of the same beams (at least), and dB lost against the CT (at
#: most): exact geometry and scale, a constant, a gain, or no scale at all.
CARRIES = {
    "RTIMAGE": ((), 80.0, 0.01),
    "DX": ((), 60.0, 0.01),
    "XA": (("offset",), 45.0, 0.1),
    "CR": (UNKNOWN, 19.5, 1.5),
    "PNG": (UNKNOWN, 19.5, 1.5),
    "topogram": (("gain",), 34.0, 0.7),
}


def test_the_same_volume_within_what_a_format_can_carry(backprojector):
    volume = thorax_phantom().volume(Grid.centred((0, 0, 0), (38, 28, 34), 10.0), supersample=1)
    ct = replace(volume, grid=Grid.centred(AIM, (38, 28, 34), 10.0))
    distances = {"source_to_detector": 1800.0, "source_to_isocentre": 1500.0}
    views = [ViewSpec.parse(word, isocentre=AIM, spacing=16.0, **distances) for word in ("AP", "LAT")]
    rows = {row.format: row for row in compare_formats(ct, views, Grid.centred(AIM, 16, 24.0), backprojector)}
    assert list(rows) == list(FORMATS)
    for name, (unknown, least, lost) in CARRIES.items():
        reference = rows["NRRD (scanned)" if name == "topogram" else "NRRD"]
        assert reference.psnr_same == float("inf")
        assert rows[name].unknown == unknown and rows[name].problem == "", name
        assert rows[name].psnr_same > least and rows[name].psnr_truth > reference.psnr_truth - lost, (name, rows[name])
    assert rows["DX"].given == ("isocentre",)  # DICOM does not say where the patient lies

    table = format_section([asdict(row) for row in rows.values()]).tables[0]
    assert [row[0] for row in table.rows] == list(FORMATS)
    assert table.rows[0][1:4] == ["nothing", "nothing", "the same"]
    assert table.rows[2][1] == "isocentre" and float(table.rows[2][3]) > 60


def test_a_format_that_cannot_be_is_a_row_with_its_reason(backprojector):
    ct = Volume(np.zeros((8, 8, 8), np.int16), Grid.centred(AIM, 8, 20.0))
    views = [ViewSpec.parse("AP+3", isocentre=AIM, size=(16, 16), spacing=16.0)]
    (row,) = compare_formats(ct, views, Grid.centred(AIM, 16, 24.0), backprojector, ["CR"])
    assert "There is no word for the view 'AP+3'" in row.problem and row.psnr_truth != row.psnr_truth
    shown = format_section([asdict(row)]).tables[0].rows[0]
    assert shown[3] == "no volume" and shown[4] == row.problem
