"""Results are strict JSON and harmless Markdown, and a mean says what it is the mean of."""

from __future__ import annotations

import json

import pytest

from XRayTo3DLib.evaluation.figures import FIGURES
from XRayTo3DLib.evaluation.table import in_lines, plain, summarise, to_markdown, write_results


def row(case: str, method: str, **figures: float | None) -> dict:
    first = {"case": case, "setting": "two_views", "geometry": "known", "method": method}
    return {**first, **dict.fromkeys(FIGURES, 1.0), **figures, "undefined": {}}


@pytest.fixture
def results() -> dict:
    rows = [
        row("a|<script>alert(1)</script>\n| b", "mine*", psnr=20.0, bone_hd95_mm=None, hu_mae_body=float("nan")),
        row("b", "mine*", psnr=30.0, bone_hd95_mm=6.0),
        row("b", "equal", psnr=None, ssim=float("inf")),
    ]
    models = [{"method": "mine*", "name": "mine*<img src=x>", "version": "1\x1b[31m", "sha256": "0" * 64}]
    refused = [{"case": "b", "setting": "one_view", "method": "mine*", "reason": "takes <two> | views"}]
    return {
        "protocol": "words", "models": models, "baselines": [], "refused": refused, "cases": rows, "summary": summarise(rows[1:]),
    }  # fmt: skip


def test_json_is_strict(results, tmp_path):
    def never(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    path = write_results(results, tmp_path)[0]
    found = json.loads(path.read_text(), parse_constant=never)
    assert found["cases"][0]["hu_mae_body"] is None and found["cases"][2]["ssim"] is None
    assert found["cases"][1]["psnr"] == 30.0


def test_markdown_shows_names_as_they_are_and_runs_nothing(results, tmp_path):
    text = write_results(results, tmp_path)[1].read_text()
    assert text == to_markdown(results)
    assert "<script" not in text and "<img" not in text and "\x1b" not in text
    cells = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert cells == {len(FIGURES) + 4, len(FIGURES) + 5}  # three and four names before the figures, and a closing bar
    assert "| a\\|&lt;script&gt;alert(1)&lt;/script&gt; \\| b | two_views | known | mine\\* | 20.00 |" in text
    table = {"a_b.c": "a_b.c", "[x](y)": "\\[x\\](y)", "a\tb\r\nc": "a b c", "`x`": "\\`x\\`", "&lt;": "&amp;lt;", "\udcff": "?"}
    assert {name: plain(name) for name in table} == table


def test_a_mean_is_over_the_cases_that_have_the_figure():
    rows = [row("a", "m", psnr=20.0, bone_hd95_mm=None), row("b", "m", psnr=30.0, bone_hd95_mm=6.0), row("a", "n", psnr=None)]
    found = summarise(rows)["two_views"]
    assert found["m"]["psnr"] == 25.0 and found["m"]["cases"] == 2 and found["m"]["geometry"] == "known"
    assert found["m"]["bone_hd95_mm"] == 6.0 and found["m"]["counts"] == {"bone_hd95_mm": 1}
    assert found["n"]["psnr"] is None and found["n"]["counts"] == {"psnr": 0}
    text = to_markdown(
        {"protocol": "", "models": [], "baselines": [], "refused": [], "cases": rows, "summary": {"two_views": found}}
    )
    assert "6.0 (n = 1)" in text and "| two_views | known | n | n/a |" in text


def test_lines_for_a_terminal(results):
    lines = in_lines(results)
    assert len(lines) == 3 and "PSNR  30.00 dB" in lines[0] and "known" in lines[0]
    assert "PSNR    n/a dB" in lines[1] and "takes <two> | views" in lines[2]
