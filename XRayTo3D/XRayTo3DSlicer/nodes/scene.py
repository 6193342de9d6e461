"""The scene as a whole: changes that happen completely or not at all, and folders of the subject hierarchy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import slicer
import vtk

from XRayTo3DLib.errors import InputError

#: Who takes care of an item in the application's subject hierarchy; there it sets this itself.
_OWNERS = (
    ("vtkMRMLSegmentationNode", "Segmentations"),
    ("vtkMRMLModelNode", "Models"),
    ("vtkMRMLScalarVolumeNode", "Volumes"),
    ("vtkMRMLMarkupsNode", "Markups"),
    ("vtkMRMLTableNode", "Tables"),
)


def _hierarchy() -> slicer.vtkMRMLSubjectHierarchyNode:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def _items() -> set[int]:
    hierarchy, found = _hierarchy(), vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    return {found.GetId(i) for i in range(found.GetNumberOfIds())}


def _node_ids() -> list[str]:
    return [slicer.mrmlScene.GetNthNode(i).GetID() for i in range(slicer.mrmlScene.GetNumberOfNodes())]


@contextmanager
def all_or_nothing() -> Iterator[None]:
    """When the block fails, every node and every folder that it added is removed again, and the failure goes on."""
    items, nodes = _items(), set(_node_ids())
    try:
        yield
    except BaseException:
        for added in [i for i in reversed(_node_ids()) if i not in nodes]:
            slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetNodeByID(added))
        for item in _items() - items:
            _remove_item(item)
        raise


@contextmanager
def operation(*sources: slicer.vtkMRMLNode) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Work on ``sources`` that adds nodes when it is done, inside the context that the given function makes.

    That context is :func:`all_or_nothing`. It raises :class:`InputError` instead when the scene was closed, or one of the
    sources removed from it, while the work ran: what was computed does not belong to the scene that is there now.
    """
    scene, closed = slicer.mrmlScene, []
    names = [source.GetName() for source in sources]
    ids = [source.GetID() for source in sources]
    tag = scene.AddObserver(scene.StartCloseEvent, lambda caller, event: closed.append(True))

    def adding() -> AbstractContextManager[None]:
        if closed:
            raise InputError("The scene was closed while the work ran: nothing was added; start it again in the new scene.")
        for source, name, own in zip(sources, names, ids, strict=True):
            if slicer.mrmlScene.GetNodeByID(own) is not source:
                raise InputError(f"{name} was removed from the scene while the work ran: nothing was added; start it again.")
        return all_or_nothing()

    try:
        yield adding
    finally:
        scene.RemoveObserver(tag)


def unique_name(name: str) -> str:
    """The name itself, or with a number after it when a node has it already."""
    return name if slicer.mrmlScene.GetFirstNodeByName(name) is None else slicer.mrmlScene.GenerateUniqueName(name)


def new_folder(name: str) -> int:
    """A folder at the top of the subject hierarchy; returns its item."""
    hierarchy = _hierarchy()
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), hierarchy.GenerateUniqueItemName(name))
    if not hierarchy.GetItemOwnerPluginName(folder):
        hierarchy.SetItemOwnerPluginName(folder, "Folder")
    return folder


def put(node: slicer.vtkMRMLNode, folder: int | None = None) -> None:
    """Show the node in a folder of the subject hierarchy, or at its top."""
    hierarchy = _hierarchy()
    parent = hierarchy.GetSceneItemID() if folder is None else folder
    item = hierarchy.GetItemByDataNode(node)
    if item:  # in the application every node has one as soon as it is in the scene
        hierarchy.SetItemParent(item, parent)
    else:
        item = hierarchy.CreateItem(parent, node)
    if not hierarchy.GetItemOwnerPluginName(item):
        owner = next((name for class_name, name in _OWNERS if node.IsA(class_name)), None)
        if owner is not None:
            hierarchy.SetItemOwnerPluginName(item, owner)


def folder_of(node: slicer.vtkMRMLNode) -> int | None:
    """The folder that holds a node, ``None`` when it stands at the top."""
    hierarchy = _hierarchy()
    item = hierarchy.GetItemByDataNode(node)
    parent = hierarchy.GetItemParent(item) if item else 0
    return parent if parent and parent != hierarchy.GetSceneItemID() else None


def remove(node: slicer.vtkMRMLDisplayableNode) -> None:
    """Remove a node with what shows and stores it alone, and its item of the subject hierarchy."""
    item = _hierarchy().GetItemByDataNode(node)
    own = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    own += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    slicer.mrmlScene.RemoveNode(node)
    for helper in own:
        if helper is not None and not _referred(helper):
            slicer.mrmlScene.RemoveNode(helper)
    _remove_item(item)


def _referred(node: slicer.vtkMRMLNode) -> bool:
    scene, own = slicer.mrmlScene, node.GetID()
    return any(scene.IsNodeReferencingNodeID(scene.GetNthNode(i), own) for i in range(scene.GetNumberOfNodes()))


def _remove_item(item: int) -> None:
    if item in _items():  # the application has removed it with its node
        _hierarchy().RemoveItem(item, False, False)
