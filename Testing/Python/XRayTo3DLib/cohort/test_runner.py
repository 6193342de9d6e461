from __future__ import annotations

import json
from pathlib import Path

import cohort_work
import pytest

from XRayTo3DLib.cohort.runner import run_cases
from XRayTo3DLib.errors import InputError
from XRayTo3DLib.progress import Cancelled


def cases(folder: Path, **behaviours: str) -> dict[str, dict[str, object]]:
    marker = str(folder.parent / "marker")
    return {f"case{k}": {"number": k, "behaviour": behaviours.get(f"case{k}"), "marker": marker} for k in range(6)}


def check(results, folder: Path, failed: dict[str, str]) -> None:
    """Every case is there once, with its file and record, but for those that failed, whose reason begins as told."""
    assert [one.name for one in results] == [f"case{k}" for k in range(6)]
    for k, one in enumerate(results):
        if one.name in failed:
            assert one.state == "failed" and one.reason.startswith(failed[one.name]), one
            assert not (folder / f"square_{k}.txt").exists()
        else:
            assert one.files == (f"square_{k}.txt",), one
            assert (folder / f"square_{k}.txt").read_text() == str(k * k)
            assert json.loads((folder / "cases" / f"{one.name}.json").read_text())["files"] == [f"square_{k}.txt"]
    assert len(list(folder.glob("square_*"))) == 6 - len(failed)


def test_a_killed_worker_loses_and_doubles_nothing_and_failures_stop_nobody(tmp_path):
    folder = tmp_path / "out"
    mixed = cases(folder, case1="die once", case2="fail", case4="die")
    results = run_cases(cohort_work.write_square, mixed, folder, workers=2)
    check(results, folder, {"case2": "The number is not liked", "case4": "its worker process was killed twice"})
    begun = (tmp_path / "begun").read_text().split()
    assert begun.count("2") == 1 and begun.count("4") >= 2
    # The next run keeps what is done, sweeps up what the dead left, and does what failed, now that it can be done.
    (tmp_path / "begun").unlink()
    mended = cases(folder, case1="die once", case2="fail", case4="die")
    mended["case4"] = {**mended["case4"], "behaviour": None}
    del mended["case2"]["behaviour"]
    again = run_cases(cohort_work.write_square, mended, folder)
    check(again, folder, {})
    assert sorted((tmp_path / "begun").read_text().split()) == ["2", "4"]
    assert [one.state for one in again] == ["kept", "kept", "done", "kept", "done", "kept"]
    assert not list(folder.glob(".part-*"))


def test_a_case_is_done_anew_when_it_or_its_files_changed_and_a_stop_keeps_what_is_done(tmp_path):
    folder = tmp_path / "out"

    def stop_after_three(fraction: float, text: str) -> None:
        if fraction >= 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_cases(cohort_work.write_square, cases(folder), folder, progress=stop_after_three)
    assert len(list(folder.glob("square_*"))) == 3
    (folder / "square_1.txt").unlink()
    changed = cases(folder)
    changed["case0"]["comment"] = "another"
    results = run_cases(cohort_work.write_square, changed, folder)
    assert [one.state for one in results] == ["done", "done", "kept", "done", "done", "done"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another place"):
        run_cases(cohort_work.write_square, cases(folder), tmp_path / "file" / "out")


def test_a_dask_cluster_does_the_same(tmp_path):
    distributed = pytest.importorskip("distributed", reason="the optional package distributed")
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="No Dask scheduler answers at nowhere://1"):
        run_cases(cohort_work.write_square, cases(folder), folder, scheduler="nowhere://1")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        results = run_cases(cohort_work.write_square, cases(folder, case2="fail"), folder, scheduler=cluster.scheduler_address)
    check(results, folder, {"case2": "The number is not liked"})


@pytest.mark.slow
def test_a_dask_cluster_survives_a_killed_worker(tmp_path):
    distributed = pytest.importorskip("distributed", reason="the optional package distributed")
    folder = tmp_path / "out"
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        mixed = cases(folder, case1="die once", case2="fail")
        results = run_cases(cohort_work.write_square, mixed, folder, scheduler=cluster.scheduler_address)
    check(results, folder, {"case2": "The number is not liked"})
