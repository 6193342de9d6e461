import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]

#: Run in a child process: a surface that VTK cannot hold may end it.
_CHILD = """
import json
import numpy as np
from vtkmodules.vtkFiltersSources import vtkCubeSource, vtkSphereSource
from XRayTo3DLib.anatomy.voxelisation import surface_fraction
from XRayTo3DLib.errors import InputError
said = {}
for source in (vtkSphereSource, vtkCubeSource):
    for size in (1e-300, 1e-30, 1e-18, 1e-12, 1e-7, 1e-3, 1.0, 1e5, 1e12, 1e300):
        shape = source()
        shape.SetOutputPointsPrecision(1)
        if source is vtkSphereSource:
            shape.SetRadius(size / 2)
        else:
            shape.SetXLength(size), shape.SetYLength(size), shape.SetZLength(size)
        shape.Update()
        try:
            fraction, grid = surface_fraction(shape.GetOutput(), "part")
            said[f"{source.__name__} {size:g}"] = float(fraction.sum()) * grid.voxel_volume / size**3
        except InputError as error:
            said[f"{source.__name__} {size:g}"] = str(error)
print(json.dumps(said))
"""


def test_surfaces_of_sizes_that_no_part_has():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for what, found in json.loads(done.stdout.splitlines()[-1]).items():
        shape, size = what.split()
        if 1e-4 < float(size) < 1e6:
            # VTK's ball has eight sides by default: 0.448 of the cube around it.
            assert abs(found - (1 if "Cube" in shape else 0.448)) < 0.02, what
        else:
            assert "give its points in mm" in found or "encloses nothing" in found or "no triangles" in found, what
