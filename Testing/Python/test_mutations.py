"""The faults of ``Testing/mutations.py`` still have a place to be planted; the script itself is run by hand."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_fault_can_be_planted() -> None:
    spec = importlib.util.spec_from_file_location("mutations", ROOT / "Testing" / "mutations.py")
    assert spec is not None and spec.loader is not None
    mutations = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = mutations  # its dataclass looks itself up there
    spec.loader.exec_module(mutations)
    assert len({fault.name for fault in mutations.FAULTS}) == len(mutations.FAULTS) >= 20
    for fault in mutations.FAULTS:
        text = (ROOT / fault.file).read_text(encoding="utf-8")
        assert text.count(fault.right) == 1, f"{fault.name}: {fault.right!r} stands {text.count(fault.right)} times in {fault.file}"
        ast.parse(text.replace(fault.right, fault.wrong))
        for test in fault.tests:
            assert (ROOT / test.partition("::")[0]).exists(), f"{fault.name}: {test}"
