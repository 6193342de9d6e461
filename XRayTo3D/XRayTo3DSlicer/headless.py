"""A MRML scene without the Slicer application, on the PyPI package slicer-core, and whole scenes as .mrb files.

The demo and the tests use it. In the real application :func:`start` finds the application's scene and changes nothing.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

import slicer
import vtk

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import writing

#: Module name to the class of its logic: the part of each Slicer module that works without a window.
_MODULE_LOGICS = {
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Units": "vtkSlicerUnitsLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "VolumeRendering": "vtkSlicerVolumeRenderingLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
}

#: What the scene points to without owning it; it lives as long as the process.
_alive: list[object] = []


class _Module:
    """What ``slicer.modules.<name>`` offers here: the logic."""

    def __init__(self, logic: object) -> None:
        self._logic = logic

    def logic(self) -> object:
        return self._logic


class _Modules:
    """What ``slicer.modules`` offers here: one attribute a module, in lower case."""


def start() -> slicer.vtkMRMLScene:
    """Make ``slicer.mrmlScene`` and ``slicer.modules`` and return the scene; a scene that is there already is kept."""
    scene = getattr(slicer, "mrmlScene", None)
    if scene is not None:
        return scene
    scene = slicer.vtkMRMLScene()
    temporary = tempfile.TemporaryDirectory(prefix="xrayto3d-")
    application = slicer.vtkSlicerApplicationLogic()
    application.SetTemporaryPath(temporary.name)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    application.SetMRMLScene(scene)

    colours = slicer.vtkMRMLColorLogic()
    colours.SetMRMLApplicationLogic(application)
    colours.SetMRMLScene(scene)
    colours.AddDefaultColorNodes()
    application.SetColorLogic(colours)

    # Reading a .mrb goes through the remote IO of the scene, though every file in it is local.
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.GetCacheManager().SetRemoteCacheDirectory(temporary.name)
    remote.SetMRMLApplicationLogic(application)
    remote.SetMRMLScene(scene)
    remote.AddDataIOToScene()
    transfers = slicer.vtkDataIOManagerLogic()
    transfers.SetMRMLApplicationLogic(application)
    transfers.SetAndObserveDataIOManager(remote.GetDataIOManager())
    application.SetMRMLSceneDataIO(scene, remote, transfers)

    slices, views = vtk.vtkCollection(), vtk.vtkCollection()
    application.SetSliceLogics(slices)
    application.SetViewLogics(views)
    for kind in ("SliceView", "ThreeDView"):
        factory = getattr(slicer, f"vtkMRML{kind}DisplayableManagerFactory").GetInstance()
        factory.SetMRMLApplicationLogic(application)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)

    modules = _Modules()
    for name, class_name in _MODULE_LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application)
        if name != "Terminologies":  # with a scene it looks for files of the application and logs that they are missing
            logic.SetMRMLScene(scene)
        application.SetModuleLogic(name, logic)
        setattr(modules, name.lower(), _Module(logic))
        _alive.append(logic)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)

    _alive.extend([scene, temporary, application, colours, remote, transfers, slices, views])
    slicer.mrmlScene, slicer.modules = scene, modules
    return scene


def save_scene(path: str | Path) -> None:
    """Write the whole scene to an .mrb file, whole or not at all; :class:`InputError` when that is not possible."""
    target = Path(path)
    if target.suffix.lower() != ".mrb":
        raise InputError(f"{target} must end in .mrb to hold a whole scene: change the file name.")
    # The bundle takes the name of its top folder from the file, so it is written under its own name first.
    with writing(target) as part, tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as folder:
        bundle = Path(folder, target.name)
        if not slicer.mrmlScene.WriteToMRB(str(bundle)) or not bundle.is_file():
            raise RuntimeError("the scene bundle failed")
        shutil.move(bundle, part)


def load_scene(path: str | Path) -> None:
    """Replace the scene by the one in an .mrb file; a file that is missing or damaged leaves the scene as it is."""
    source = Path(path)
    if not source.is_file():
        raise InputError(f"{source} does not exist: check the path.")
    try:
        with zipfile.ZipFile(source) as bundle:
            whole = bundle.testzip() is None and any(name.endswith(".mrml") for name in bundle.namelist())
    except (zipfile.BadZipFile, OSError):
        whole = False
    if not whole:
        raise InputError(f"{source} is not a whole Slicer scene (.mrb): save it again.")
    messages = slicer.vtkMRMLMessageCollection()
    if not slicer.mrmlScene.ReadFromMRB(str(source), True, messages):
        reason = " ".join(messages.GetAllMessagesAsString().split()) or "the reader gave no reason"
        raise InputError(f"{source} could not be loaded completely ({reason}): check the file in Slicer.")
