"""A head, a neck and a chest of simple solids, as a CT with labels, whose landmarks are known by construction (LPS mm)."""

from __future__ import annotations

import numpy as np

from XRayTo3DLib import Grid, Labelmap, Volume

STEP = 4.0
#: Labels and their names, as organs are called.
NAMES = {1: "brainstem", 2: "spinal_cord", 3: "parotid_right", 4: "parotid_left", 5: "esophagus", 6: "larynx", 7: "mandible"}
#: Where things are; the skin's are half a voxel uncertain.
TRUTH = {
    "chin": (0, -92, 0),
    "nape": (0, 72, 4),
    "neck_left": (54, 0, -50),
    "neck_right": (-54, 0, -50),
    "occiput": (0, 98, 80),
    "brainstem": (0, 20, 60),
    "larynx": (0, -30, -50),
    "parotid_left": (50, -10, 40),
    "parotid_right": (-50, -10, 40),
    "chin_bone": (0, -80, 4),
    "mandible_angle_left": (46, -10, 4),
    "cord_at_larynx": (0, 20, -50),
    "lung_top_left": (60, 20, -120),
}


def paper_head(
    shift: tuple[float, float, float] = (0, 0, 0), below: float = -232.0, above: float = 208.0
) -> tuple[Volume, Labelmap]:
    """CT in HU and labels; ``below`` and ``above`` are the ends of the scan along z, and all is moved by ``shift`` mm."""
    size = (64, 64, round((above - below) / STEP))
    origin = np.array([-126.0, -126.0, below + 2])
    grid = Grid(size, (STEP,) * 3, tuple(origin + shift))
    z, y, x = np.meshgrid(*(origin[a] + np.arange(size[a]) * STEP for a in (2, 1, 0)), indexing="ij")
    skull = (x / 78) ** 2 + (y / 98) ** 2 + ((z - 80) / 110) ** 2 <= 1
    jaw = (abs(x) <= 45) & (y >= -92) & (y <= 0) & (z >= 0) & (z <= 60)
    neck = (x**2 + y**2 <= (54 + 0.3 * np.abs(z + 50)) ** 2) & (z >= -120) & (z <= 40)
    wide = np.maximum(54 + 2.4 * (-50 - z), 0)  # shoulders that widen from the neck down
    chest = (abs(x) <= np.minimum(wide, 122)) & (abs(y) <= np.minimum(54 + 0.8 * np.maximum(-50 - z, 0), 100)) & (z < -50)
    hu = np.full(x.shape, -1000.0)
    hu[skull | jaw | neck | chest] = 30.0
    for side in (-1, 1):
        lung = ((x - side * 60) / 34) ** 2 + ((y - 20) / 50) ** 2 + ((z + 180) / 60) ** 2 <= 1
        hu[lung] = -800.0
    labels = np.zeros(x.shape, dtype=np.uint8)

    def ball(number: int, centre: tuple[float, float, float], radius: float) -> None:
        labels[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2] = number

    labels[(x**2 + (y - 20) ** 2 <= 64) & (z < 40)] = 2
    for number, name, radius in ((1, "brainstem", 14), (6, "larynx", 16), (3, "parotid_right", 12), (4, "parotid_left", 12)):
        ball(number, TRUTH[name], radius)
    arch = (abs(x) <= 48) & (abs(x) >= 40) & (y >= -80) & (y <= -8) & (z >= 2) & (z <= 12)
    front = (abs(x) <= 48) & (y >= -84) & (y <= -76) & (z >= 2) & (z <= 12)
    ramus = (abs(x) <= 48) & (abs(x) >= 40) & (y >= -20) & (y <= -8) & (z >= 2) & (z <= 60)
    labels[arch | front | ramus] = 7
    return Volume(hu.astype(np.float32), grid), Labelmap(labels, grid, dict(NAMES))
