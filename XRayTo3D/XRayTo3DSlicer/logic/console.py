"""The operations as calls for the Python console: nodes in, nodes out.

Every call computes first, with the library alone, and then adds its nodes all at once: an error or a cancel leaves the
scene as it was. Errors are :class:`InputError`, one sentence for the user. Nodes carry where they came from (see
``provenance``).

    logic = XRayTo3DLogic()
    front, side = logic.renderDRR(ctNode, ["AP", "LAT"])
    result = logic.reconstruct([front, side])
    logic.extractSurfaces(logic.segment(result.volumeNode))
    lungs = logic.organShape([front, side], "lungs")
    image, points, loop = logic.parametrizedXRay(ctNode, region="head_neck")

Geometry (``Projection``, ``Grid``) is in the library's frame: LPS, mm. What needs torch is imported when it is called,
because Slicer has no torch until the dependencies are installed.
"""

from __future__ import annotations

from XRayTo3DSlicer.logic.organs import OrganLogic
from XRayTo3DSlicer.logic.parametrized import ParametrizedLogic
from XRayTo3DSlicer.logic.radiographs import RadiographLogic
from XRayTo3DSlicer.logic.reconstruction import ReconstructionLogic
from XRayTo3DSlicer.logic.simulation import SimulationLogic
from XRayTo3DSlicer.logic.structures import StructureLogic


class Logic(SimulationLogic, RadiographLogic, ReconstructionLogic, StructureLogic, OrganLogic, ParametrizedLogic):
    """The library part of the module's logic; it needs a scene but no window. Its only state: the loops that run."""
