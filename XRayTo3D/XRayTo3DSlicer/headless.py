"""A MRML scene without the Slicer application, on the PyPI package slicer-core, and whole scenes as .mrb files.

The demo and the tests use it. In the real application :func:`start` finds the application's scene and changes nothing.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.files import temporary_folder, writing
from XRayTo3DLib.progress import interrupts_held

with interrupts_held():  # Ctrl-C in the middle of this import would end the process in a crash
    import slicer
    import vtk

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
    with interrupts_held():  # half a scene would be kept
        return _start()


def _start() -> slicer.vtkMRMLScene:
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
    target = Path(path).absolute()
    if target.suffix.lower() != ".mrb":
        raise InputError(f"{path} must end in .mrb to hold a whole scene: change the file name.")
    # The bundle takes the name of its top folder from the file, so it is written under its own name first.
    with writing(target) as part, temporary_folder(target) as folder:
        bundle = Path(folder, target.name)
        with interrupts_held():
            written = slicer.mrmlScene.WriteToMRB(str(bundle))
        if not written or not bundle.is_file():
            raise RuntimeError("the scene bundle failed")
        shutil.move(bundle, part)


def load_scene(path: str | Path) -> None:
    """Replace the scene by the one in an .mrb file.

    :class:`InputError` when the file is missing or damaged, when a part of it cannot be read, or when it holds names that
    lead out of its own folder; the scene that is there is kept then.
    """
    source = Path(path).absolute()
    if not source.is_file():
        raise InputError(f"{path} does not exist or is no file: check the path.")
    _check_bundle(source)
    # The reader empties the scene first. Another scene shows whether all can be read before this one is given up.
    trial = slicer.vtkMRMLScene()
    slicer.mrmlScene.CopyRegisteredNodesToScene(trial)
    trial.SetCacheManager(slicer.mrmlScene.GetCacheManager())
    trial.SetDataIOManager(slicer.mrmlScene.GetDataIOManager())
    _read(trial, source)
    trial.Clear(True)
    _read(slicer.mrmlScene, source)


def _read(scene: slicer.vtkMRMLScene, source: Path) -> None:
    messages = slicer.vtkMRMLMessageCollection()
    with interrupts_held():
        done = scene.ReadFromMRB(str(source), True, messages)
    if not done:
        reason = " ".join(messages.GetAllMessagesAsString().split()) or "the reader gave no reason"
        raise InputError(f"{source} could not be loaded completely ({reason}): check the file in Slicer.")


def _check_bundle(source: Path) -> None:
    """:class:`InputError` unless a file is a whole .mrb whose members stay inside the folder that it is unpacked in."""
    try:
        with zipfile.ZipFile(source) as bundle:
            members = bundle.infolist()
            for member in members:
                if _leads_out(member):
                    raise InputError(f"{source} holds {member.filename!r}, which leads out of its folder: do not open this file.")
            size = sum(member.file_size for member in members)
            room = shutil.disk_usage(tempfile.gettempdir()).free
            if size > room:
                raise InputError(
                    f"{source} needs {size / 1e9:.3g} GB when it is unpacked, and the folder for temporary files has "
                    f"{room / 1e9:.3g} GB left: free some, or check where the file comes from."
                )
            whole = bundle.testzip() is None and any(member.filename.endswith(".mrml") for member in members)
    except InputError:
        raise
    # What the module zipfile raises for damaged, encrypted, and unknown kinds of members.
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError, ValueError, EOFError):
        whole = False
    if not whole:
        raise InputError(f"{source} is not a whole Slicer scene (.mrb): save it again.")


def _leads_out(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a link, or its name absolute or with a step up, on this or another operating system."""
    name = member.orig_filename  # zipfile itself cuts the name at a zero byte
    kind = stat.S_IFMT(member.external_attr >> 16)
    windows = PureWindowsPath(name)
    return (
        kind not in (0, stat.S_IFREG, stat.S_IFDIR)
        or "\0" in name
        or PurePosixPath(name).is_absolute()
        or bool(windows.drive or windows.root)
        or ".." in windows.parts
    )
