"""The README's own model: its code is run as it stands there, and its file is a model like any other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.models.zoo import load_model
from XRayTo3DLib.reconstruction.pipeline import reconstruct
from XRayTo3DLib.simulation.drr import render_drr

ROOT = Path(__file__).resolve().parents[5]


def test_the_readmes_model_can_be_written_trusted_and_run(phantom_volume, tmp_path, monkeypatch):
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own model")[1].split("\n## ")[0]
    code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(code) == 1 and len([line for line in code[0].splitlines() if line.strip()]) <= 20
    (tmp_path / "mine.py").write_text(code[0], encoding="utf-8")
    places = os.pathsep.join([str(ROOT), *sys.path])
    subprocess.run([sys.executable, "-W", "ignore", "mine.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": places}, check=True)
    monkeypatch.setenv("XRAYTO3D_HOME", str(tmp_path / "home"))
    model = load_model(tmp_path / "mine.pt", "volume", ask=lambda m: True)
    grid = Grid.centred((0, 0, 0), (25, 19, 23), 16.0)
    views = [view_projection(w, (0, 0, 0), (48, 48), 10.0, 1500.0) for w in ("AP", "LAT")]
    found = reconstruct(render_drr(phantom_volume, views, ["AP", "LAT"]), model, grid, check_views=False)
    assert found.model_name == "mine"
    z, y, x = np.indices(grid.shape) * 16.0 + np.reshape(grid.origin[::-1], (3, 1, 1, 1))
    radius = np.hypot(x / 170, y / 115)  # the phantom's trunk, 340 x 230 mm
    answer, middle = found.before_fusion.array, abs(z) < 130
    assert answer[(radius < 0.6) & middle].mean() > 20 * answer[(radius > 1.5) & middle].mean()
    assert max(found.errors) < 0.5 * max(found.errors_before)
