"""The scene as a whole: changes that happen completely or not at all, and folders of the subject hierarchy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
import vtk

#: Who takes care of an item in the application's subject hierarchy; there it sets this itself.
_OWNERS = (
    ("vtkMRMLSegmentationNode", "Segmentations"),
    ("vtkMRMLModelNode", "Models"),
    ("vtkMRMLScalarVolumeNode", "Volumes"),
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


def remove(node: slicer.vtkMRMLNode) -> None:
    """Remove a node and its item of the subject hierarchy."""
    item = _hierarchy().GetItemByDataNode(node)
    slicer.mrmlScene.RemoveNode(node)
    _remove_item(item)


def _remove_item(item: int) -> None:
    if item in _items():  # the application has removed it with its node
        _hierarchy().RemoveItem(item, False, False)
