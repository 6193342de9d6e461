"""Pages, their tables, and pictures whose titles come from outside."""

from __future__ import annotations

import re

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.radiograph import Radiograph
from XRayTo3DLib.images.volume import Volume
from XRayTo3DLib.report import pictures
from XRayTo3DLib.report.page import Section, Table, figure_table, form, structure_table, write_report


def test_best_is_marked_by_its_direction():
    rows = [["a", "1.0", "5", "2", "3"], ["b", "n/a", "4", "2", "9"]]
    table = Table(["", "up", "down", "same", "plain"], rows, [0, 1, -1, 1])
    assert [table.best(c) for c in range(5)] == [None, None, 1, None, None]


def test_tables_of_figures():
    figures = {"psnr": 20.0, "psnr_x2ct": 24.29, "ssim": float("nan"), "hu_mae_body": 99.6}
    assert figure_table([("ours", figures)], "").rows == [["ours", "20.00", "24.29", "n/a", "100"]]
    structures = {"structures": {"bone": {"dice": 0.5, "hd95_mm": 7.25, "volume_ml": 1, "volume_ml_ct": 2}}}
    found = structure_table([("none", figures), ("ours", structures)], "")
    assert found.heads == ["", "Dice, bone", "HD95, bone, mm"] and found.rows == [["ours", "0.500", "7.2"]]
    assert form(float("nan"), ".1f") == "n/a"


def test_text_from_outside_is_escaped(tmp_path):
    section = Section("<b>", ["a & b \ud800"], b"\x89PNG", "alt", [Table(["<i>"], [["<u>"]])])
    write_report(tmp_path / "r.html", "T<", "lead", [("CT", "<script>")], ["<note>"], [section])
    page = (tmp_path / "r.html").read_text()
    assert not re.search(r"<(b|i|u|note|script)>", page) and "&lt;script&gt;" in page
    assert "data:image/png;base64,iVBORw" in page


def test_names_are_no_formulas(ball):
    volume = Volume(np.zeros((8, 8, 8), np.int16), Grid.centred((0, 0, 0), 8, 20.0))
    name = r"$\frac{$"
    xray = Radiograph(np.ones((4, 4), np.float32), view_projection("AP", (0, 0, 0), (4, 4), 8.0, 1500.0), name)
    for picture in (
        pictures.inputs([xray]),
        pictures.slices([(name, volume)]),
        pictures.residuals([xray], [xray.line_integrals], [xray.line_integrals]),
        pictures.uncertainty([(name, volume)]),
        pictures.surfaces([(name, [ball(0, "bone")])]),
    ):
        assert picture.startswith(b"\x89PNG")
