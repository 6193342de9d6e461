"""The flat public API: every name resolves, is documented, and needs no Slicer."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from tables import each

import XRayTo3DLib


@each("name", XRayTo3DLib.__all__)
def test_public_names_exist_and_are_documented(name):
    value = getattr(XRayTo3DLib, name)
    if not isinstance(value, float):
        assert len(inspect.getdoc(value) or "") > 20


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, XRayTo3DLib; print([m for m in ('torch', 'vtk', 'SimpleITK', 'pydicom', 'slicer') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", errors="replace", check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute"):
        XRayTo3DLib.reconstruct_everything  # noqa: B018
