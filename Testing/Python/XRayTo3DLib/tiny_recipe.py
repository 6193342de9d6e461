"""A recipe that trains in a second: the bundled one's tables at sizes for a test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.io.volumes import write_volume
from XRayTo3DLib.simulation.phantom import thorax_phantom
from XRayTo3DLib.training.recipes import Recipe, recipe_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TINY = """
name = "tiny"
system = "lifted_views"
seed = 3

[schedule]
steps = 6
batch = 2
learning_rate = 1e-2
warm_up = 2
final_rate = 0.02
weight_decay = 1e-3
average_decay = 0.9
gradient_limit = 0.3
bfloat16 = false
checkpoint_every = 2

[grid]
size = 16
spacing = 20.0
slab = 8
slab_preference = 1.6

[network]
plane = [8, 8, 16, 16]
space = [8, 8, 16]
depths = 8
depth_features = 2
flat_features = 4
fine = 4
full = 4

[[data]]
group = "torso"
folder = "cts"
weight = 1.0
exclude = ["left_out"]

[augmentation]
until = 0.6
exact = [0.5, 0.8]
scale = { torso = [0.9, 1.2] }
anywhere = { torso = 0.3 }
stretch = [0.05, 0.0]
rotation_degrees = [5.0, 0.5]
shift_mm = [9.0, 1.0]
bend_mm = [5.0, 0.3]
bone_gain = [0.08, 0.01]

[views]
chances = [0.3, 0.6, 0.1]
anything = [0.2, 0.04]
aimed = 0.5
error_degrees = 7.0
untold = 0.1
untold_degrees = 2.0
cone = 0.4
source_to_isocentre = [600.0, 2000.0]
noisy = [0.4, 0.1]
log10_photons = [4.0, 6.0]
gain_chance = [0.2, 0.03]
gain = 0.03
blur_chance = [0.2, 0.05]
blur = [0.2, 0.6]

[loss]
log_squared = 0.02
squared = 0.5
absolute = 0.05
likelihood = 0.01

[card]
version = "0.1.0"
title = "A tiny model"
region = ["chest"]
maximum_views = 3
spacing_mm = [15.0, 25.0]
metrics_convention = "none"
intended_use = "Testing the training on a phantom."
limits = ["It has seen one phantom."]
licence = "Apache-2.0"

[[card.data]]
name = "phantom"
subjects = 1
licence = "Apache-2.0"
attribution = "made for a test"
"""


def table() -> dict[str, Any]:
    """The recipe's tables, free to change."""
    return tomllib.loads(TINY)


def tiny(**changes: Any) -> Recipe:
    """The checked recipe; ``schedule__steps=40`` changes a value of a table."""
    changed = table()
    for name, value in changes.items():
        *tables, key = name.split("__")
        place = changed
        for part in tables:
            place = place[part]
        place[key] = value
    return recipe_of(changed, "tiny.toml")


def phantoms(folder: Path) -> Path:
    """A data folder with the CTs one, two and left_out, and a label file that is none."""
    for i, name in enumerate(("one", "two", "left_out")):
        volume = thorax_phantom().volume(Grid.centred((10 * i, 0, 0), (24, 18, 20), 16.0), supersample=1)
        write_volume(volume, folder / "cts" / f"{name}.nii.gz")
    (folder / "cts" / "one.labels.nii.gz").write_bytes((folder / "cts" / "one.nii.gz").read_bytes())
    return folder
