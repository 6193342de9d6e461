"""Plant named faults one at a time and see whether the tests notice: ``python Testing/mutations.py [NAME ...]``.

Everything happens in a copy of the working tree. The tests named beside the faults must pass there as it is; then each fault is
planted alone and its tests must fail. Prints a line a fault and, at the end, how many were killed; exit code 1 if one survives.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY, TESTS = "XRayTo3DLib", "Testing/Python/XRayTo3DLib"


@dataclass(frozen=True)
class Fault:
    """A fault: in ``file``, the text ``right``, which stands there once, becomes ``wrong``; ``tests`` are to notice."""

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


def _library(name: str, file: str, right: str, wrong: str, *tests: str) -> Fault:
    return Fault(name, f"{LIBRARY}/{file}", right, wrong, tuple(f"{TESTS}/{test}" for test in tests))


FAULTS = (
    # what the network sees
    _library(
        "zeros for X-rays",
        "reconstruction/methods/lifted_views.py",
        "seen = np.stack(images) / virtual_detector.scale(grid)",
        "seen = np.stack(images) * 0.0",
        "reconstruction",
    ),
    _library(
        "mirror not turned back",
        "reconstruction/methods/lifted_views.py",
        "*turned, grid)[..., ::-1]",
        "*turned, grid)",
        "reconstruction",
    ),
    _library(
        "every view with the first view's geometry",
        "reconstruction/methods/lifted_views.py",
        "scanned_views.stand_ins(radiographs, padded, distance)",
        "scanned_views.stand_ins([radiographs[0]] * len(radiographs), padded, distance)",
        "reconstruction",
    ),
    _library(
        "stand-ins of scanned views see the X-ray alone",
        "reconstruction/methods/scanned_views.py",
        "found.append(known + virtual_detector",
        "found.append(0 * known + virtual_detector",
        "reconstruction",
    ),
    _library(
        "a scanned beam's source stands still",
        "geometry/projection.py",
        "return self.source + moved[:, None] * self.scan_direction",
        "return self.source + 0 * moved[:, None] * self.scan_direction",
        "geometry",
    ),
    _library(
        "scale 20 for 32",
        "reconstruction/methods/virtual_detector.py",
        "return 32 * voxel_size",
        "return 20 * voxel_size",
        "reconstruction",
    ),
    # geometry
    _library(
        "wrong sign of a lateral",
        "geometry/views.py",
        '"LLAT": ((1.0, 0.0, 0.0), False)',
        '"LLAT": ((-1.0, 0.0, 0.0), False)',
        "geometry",
    ),
    _library(
        "a turned view the other way round",
        "geometry/views.py",
        'Rotation.from_euler("z", -degrees',
        'Rotation.from_euler("z", degrees',
        "geometry",
    ),
    _library(
        "volumes in RAS",
        "images/itk_images.py",
        "image.GetSpacing(), image.GetOrigin()",
        "image.GetSpacing(), [-v for v in image.GetOrigin()[:2]] + [image.GetOrigin()[2]]",
        "images",
        "io",
    ),
    Fault(
        "RAS origin",
        "XRayTo3D/XRayTo3DSlicer/nodes/mrml.py",
        "node.SetIJKToRASMatrix(_matrix(_FLIP @ affine))",
        "node.SetIJKToRASMatrix(_matrix(affine))",
        ("Testing/Python/XRayTo3DSlicer/nodes/test_volume_nodes.py",),
    ),
    # line integrals
    _library(
        "adjoint off by half a pixel",
        "projection/projector.py",
        "        values = tensor.reshape(-1) if tensor.is_floating_point()",
        "        view = view.moved(np.eye(3), view.centre).__class__(\n"
        "            view.origin + view.row_direction * view.spacing[1] / 2, view.row_direction, view.column_direction,\n"
        "            view.spacing, view.size, view.source, view.ray_direction)\n"
        "        values = tensor.reshape(-1) if tensor.is_floating_point()",
        "projection/test_projector_adjoint.py",
    ),
    _library(
        "water for air", "images/volume.py", "mu += np.float32(1000)", "mu += np.float32(2000)", "images", "simulation/test_drr.py"
    ),
    # fusion and its error
    _library(
        "residual of the wrong sign",
        "fusion/iterative.py",
        "torch.where(counts > 0, measured - project(mu, self.grid, [view])[0], 0)",
        "torch.where(counts > 0, project(mu, self.grid, [view])[0] - measured, 0)",
        "fusion",
    ),
    _library(
        "rays visited without weights",
        "fusion/iterative.py",
        "weight = mu**beta * (mu > 0)",
        "weight = torch.ones_like(mu)",
        "fusion",
    ),
    _library(
        "error over the largest value",
        "fusion/reprojection.py",
        "mean = float(np.mean(measured, dtype=np.float64))",
        "mean = float(np.max(measured))",
        "evaluation",
        "fusion",
    ),
    # figures
    _library("worst mean chosen", "reconstruction/methods/baselines.py", "best = min(means", "best = max(means", "evaluation"),
    _library("PSNR with X2CT's peak", "evaluation/metrics.py", "peak: float = DATA_RANGE", "peak: float = X2CT_PEAK", "evaluation"),
    _library(
        "HD95 in voxels", "evaluation/metrics.py", "sampling = grid.spacing[::-1]", "sampling = (1.0, 1.0, 1.0)", "evaluation"
    ),
    _library(
        "cubic millimetres for millilitres", "evaluation/metrics.py", "grid.voxel_volume / 1000", "grid.voxel_volume", "evaluation"
    ),
    # anatomy and files
    _library(
        "label order",
        "anatomy/segmentation.py",
        '{1: "body", 2: "lungs", 3: "bone"}',
        '{1: "body", 3: "lungs", 2: "bone"}',
        "anatomy",
    ),
    _library(
        "surfaces inside out",
        "anatomy/surfaces.py",
        "if _signed_volume(points, triangles) < 0:",
        "if _signed_volume(points, triangles) > 0:",
        "anatomy",
    ),
    _library(
        "detector spacing exchanged",
        "io/radiograph_images.py",
        "image.SetSpacing((projection.spacing[1], projection.spacing[0], 1.0))",
        "image.SetSpacing((projection.spacing[0], projection.spacing[1], 1.0))",
        "io/test_radiographs_written.py",
    ),
    _library(
        "noise that is the same in every view",
        "simulation/detector.py",
        "zlib.crc32(radiograph.name.encode())",
        "0",
        "simulation/test_detector.py",
    ),
    # whose X-ray it is
    _library(
        "names without being asked",
        "io/identity.py",
        "if keep_identity or name not in _PERSONAL}",
        "}",
        "io/test_identity.py",
    ),
    _library(
        "an isocentre that nobody told",
        "io/rtimage.py",
        "dataset.RadiationMachineSAD = None\n        if isocentre is not None:",
        "dataset.RadiationMachineSAD = None\n        isocentre = pose.isocentre\n        if isocentre is not None:",
        "io/test_identity.py",
    ),
    _library(
        "old files forgotten when killed",
        "cli/outputs.py",
        "            _take_back(staging, folder)\n",
        "",
        "cli/test_cli_streams.py",
    ),
)


def copy_of_tree(folder: Path) -> Path:
    """The files that git keeps or would keep, copied to ``folder``."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def passes(tree: Path, tests: tuple[str, ...]) -> bool:
    """Whether pytest is content with ``tests`` in ``tree``; a run without a test, or one that cannot start, is an error."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "XRayTo3D")])}
    command = [sys.executable, "-m", "pytest", "-q", "-x", *tests]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, encoding="utf-8", errors="replace", timeout=900)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest did not run {' '.join(tests)}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return done.returncode == 0


def survives(fault: Fault, tree: Path) -> bool:
    """Whether the fault's tests still pass with the fault in place; the file is put back, with its times."""
    path = tree / fault.file
    text, times = path.read_text(encoding="utf-8"), path.stat()
    if text.count(fault.right) != 1:
        raise SystemExit(f"{fault.name}: {fault.right!r} stands {text.count(fault.right)} times in {fault.file}, not once")
    try:
        path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        return passes(tree, fault.tests)
    finally:
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # what numba compiled of it stays good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="faults to plant; all by default")
    names = parser.parse_args().name
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    if len(chosen) < len(names):
        parser.error(f"known faults: {', '.join(fault.name for fault in FAULTS)}")
    killed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_of_tree(Path(folder) / "tree")
        if not passes(tree, tuple(sorted({test for fault in chosen for test in fault.tests}))):
            raise SystemExit("The tests fail without any fault: mend that first.")
        for fault in chosen:
            started = time.monotonic()
            dead = not survives(fault, tree)
            killed += dead
            print(f"{'killed  ' if dead else 'SURVIVED'} {fault.name} ({time.monotonic() - started:.0f} s)", flush=True)
    print(f"{killed} of {len(chosen)} killed")
    return int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
