"""X-rays of single segments by the console calls, and radiographs saved to files."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import slicer
from dicom_files import write_ct_series
from scene_parts import SMALL, attribute, box_map, pixels, put_under, shift
from XRayTo3DSlicer.nodes import provenance, radiograph_nodes, segmentation_nodes

from XRayTo3DLib.errors import InputError
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.images.labelmap import Labelmap
from XRayTo3DLib.progress import Cancelled
from XRayTo3DLib.simulation.structures import project_structures


def test_structures_are_their_thickness_in_mm(logic, scene, ct, state):
    segmentation = segmentation_nodes.segmentation_to_node(box_map(ct), "Organs")
    (node,) = logic.renderStructures(segmentation, "AP", parallel=True, **SMALL)
    deep = 12 * ct.grid.spacing[1]  # the box is 12 voxels deep
    assert pixels(node).max() == pytest.approx(deep, rel=1e-4)
    wide, high = 12 * ct.grid.spacing[0], 12 * ct.grid.spacing[2]
    assert pixels(node).sum() * 12.0**2 == pytest.approx(deep * wide * high, rel=0.02)  # its volume
    assert (attribute(node, "Type"), attribute(node, "Structure"), attribute(node, "Unit")) == ("Structure", "box", "mm")
    assert not radiograph_nodes.radiograph_from_node(node).calibrated
    shown = node.GetDisplayNode()
    assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax()) == (0, pytest.approx(deep, rel=1e-4))
    assert provenance.sources(node) == [segmentation]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    assert hierarchy.GetItemName(folder) == "Organs AP"


def test_structures_of_a_ct_stand_on_its_radiograph(logic, ct_node, ct):
    labelmap = box_map(ct)
    segmentation = segmentation_nodes.segmentation_to_node(labelmap, "Organs")
    (node,) = logic.renderStructures(segmentation, "LAO20", **SMALL, ctNode=ct_node)
    whole = logic.renderDRR(ct_node, "LAO20", **SMALL)
    np.testing.assert_array_equal(
        radiograph_nodes.radiograph_from_node(node).projection.matrix,
        radiograph_nodes.radiograph_from_node(whole).projection.matrix,
    )
    assert (pixels(node) <= pixels(whole) + 1e-3).all() and pixels(node).max() > 0.3 * pixels(whole).max()
    projection = view_projection("LAO20", ct.grid.centre, (40, 48), 12.0)
    expected = project_structures(labelmap, [projection], volume=ct)[0].channels[0]
    np.testing.assert_allclose(pixels(node), expected, atol=1e-4)
    assert attribute(node, "Unit") == "1" and provenance.sources(node) == [segmentation, ct_node]


def test_overlapping_segments_are_whole(logic, scene, ct):
    segmentation = segmentation_nodes.segmentation_to_node(box_map(ct), "Organs")
    extra = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation("box", extra)
    segmentation.AddSegmentFromBinaryLabelmapRepresentation(extra, "again")
    one, other = logic.renderStructures(segmentation, "AP", **SMALL)
    assert [attribute(node, "Structure") for node in (one, other)] == ["box", "again"]
    np.testing.assert_allclose(pixels(one), pixels(other), atol=1e-4)
    assert pixels(one).max() > 90


def test_more_segments_than_a_labelmap_holds_are_still_structures(logic, scene, ct):
    segmentation = segmentation_nodes.segmentation_to_node(box_map(ct), "Organs")
    shared = segmentation.GetSegmentation().GetSegment("box").GetRepresentation("Binary labelmap")
    for number in range(255):
        empty = slicer.vtkSegment()
        empty.SetName(f"empty {number}")
        empty.SetLabelValue(number + 2)
        empty.AddRepresentation("Binary labelmap", shared)
        segmentation.GetSegmentation().AddSegment(empty)
    with pytest.raises(InputError, match="Organs has 256 segments"):
        segmentation_nodes.segmentation_from_node(segmentation)
    labelmaps = segmentation_nodes.structures_from_node(segmentation)
    assert len(labelmaps) == 256 and [np.count_nonzero(m.array) for m in labelmaps[:2]] == [12**3, 0]


def test_structures_follow_their_parent_transform_and_several_views_are_lists(logic, scene, ct):
    segmentation = segmentation_nodes.segmentation_to_node(box_map(ct), "Organs")
    views = [view_projection(view, ct.grid.centre, (40, 48), 12.0, None) for view in ("AP", "LAT")]
    still = logic.renderStructures(segmentation, ["AP", "LAT"], projection=views)
    put_under(segmentation, shift(0, 0, 24))  # two pixels up
    moved = logic.renderStructures(segmentation, ["AP", "LAT"], projection=views)
    for (before,), (after,) in zip(still, moved, strict=True):
        np.testing.assert_allclose(pixels(after)[:-2], pixels(before)[2:], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spacing": 0.0}, "spacing"),
        ({"size": (100_000, 8)}, "100000"),
        ({"sourceToDetector": 200.0, "sourceToIsocentre": 50.0}, "inside the volume"),
        ({"view": "sideways"}, "sideways"),
        ({"segmentationNode": None}, "No segmentation is chosen"),
    ],
)
def test_structures_that_cannot_be_simulated_add_nothing(logic, ct_node, ct, state, change, message):
    segmentation = segmentation_nodes.segmentation_to_node(box_map(ct), "Organs")
    before = state()
    with pytest.raises(InputError, match=message):
        logic.renderStructures(**{"segmentationNode": segmentation, "ctNode": ct_node, **change})
    assert state() == before


def test_structures_beside_the_ct_add_nothing(logic, ct_node, ct, state):
    segmentation = segmentation_nodes.segmentation_to_node(box_map(ct), "Organs")
    put_under(segmentation, shift(5000, 0, 0))
    before = state()
    with pytest.raises(InputError, match="in common"):
        logic.renderStructures(segmentation, ctNode=ct_node, **SMALL)
    assert state() == before


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_structures_that_are_cancelled_add_nothing(logic, scene, ct, state, fraction):
    segmentation = segmentation_nodes.segmentation_to_node(box_map(ct), "Organs")
    before = state()

    def stop(reached, text):
        if reached >= fraction:
            raise Cancelled

    with pytest.raises(Cancelled):
        logic.renderStructures(segmentation, "AP", **SMALL, progress=stop)
    assert state() == before


def test_structures_that_fail_half_way_add_nothing(logic, scene, ct, state, monkeypatch):
    labelmap = box_map(ct)
    labelmap.array[2:6, 2:6, 2:6] = 2
    segmentation = segmentation_nodes.segmentation_to_node(Labelmap(labelmap.array, ct.grid, {1: "box", 2: "cube"}), "Organs")
    before, real, made = state(), radiograph_nodes.radiograph_to_node, []

    def fail_at_the_second(*arguments):
        made.append(arguments)
        if len(made) == 2:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(radiograph_nodes, "radiograph_to_node", fail_at_the_second)
    with pytest.raises(MemoryError):
        logic.renderStructures(segmentation, "AP", **SMALL)
    assert len(made) == 2 and state() == before


# Files


@pytest.mark.parametrize("ending", ["nrrd", "mha", "nii.gz", "dcm"])
def test_saved_radiographs_come_back_with_their_geometry(logic, ct_node, tmp_path, ending):
    node = logic.renderDRR(ct_node, "LAO30CRAN15", **SMALL, photons=1000)
    path = tmp_path / f"arm.{ending}"
    logic.saveRadiograph(node, path)
    back = logic.loadRadiograph(path)
    one, other = radiograph_nodes.radiograph_from_node(node), radiograph_nodes.radiograph_from_node(back)
    # NIfTI keeps the geometry in single precision, DICOM the values in 16 bits.
    np.testing.assert_allclose(other.projection.project(np.eye(3) * 100), one.projection.project(np.eye(3) * 100), atol=1e-2)
    np.testing.assert_allclose(other.line_integrals, one.line_integrals, atol=1e-4 * one.line_integrals.max())
    assert (other.name, other.calibrated) == (one.name, True)
    if ending != "nii.gz":  # which has no place for them
        assert other.notes == one.notes and "1000 photons" in one.notes[0]


def test_the_isocentre_is_written_to_dicom_where_it_is_known(logic, scene, ct_node, tmp_path):
    def saved(node, **settings):
        logic.saveRadiograph(node, tmp_path / "a.dcm", **settings)
        written = pydicom.dcmread(tmp_path / "a.dcm")
        return written.RadiationMachineSAD, [float(v) for v in written.get("IsocenterPosition") or ()]

    node = logic.renderDRR(ct_node, "LAO30", sourceToDetector=1000.0, sourceToIsocentre=700.0, **SMALL)
    projection = radiograph_nodes.radiograph_from_node(node).projection
    aim = projection.source + 700.0 * projection.beam_direction
    assert saved(node) == (700, pytest.approx(aim))
    nearer = projection.source + 650.0 * projection.beam_direction
    assert saved(node, isocentre=nearer) == (650, pytest.approx(nearer))
    put_under(node, shift(10, 0, 0))
    assert saved(node) == (700, pytest.approx(aim - (10, 0, 0)))  # RAS to LPS
    node.SetAndObserveTransformNodeID(None)
    # A geometry of its own does not say where its machine turns.
    assert saved(logic.renderDRR(ct_node, "own", projection=projection)) == (None, [])
    radiograph_nodes.set_projection(node, projection)
    assert saved(node) == (None, [])


def test_saved_dicom_keeps_the_study_of_a_ct_from_the_dicom_database(logic, ct_node, tmp_path, monkeypatch):
    """As Slicer's DICOM module loads it: the node names its instances and the database finds their files."""
    folder = write_ct_series(np.full((2, 4, 4), -1000), tmp_path / "ct")
    files = {f"1.2.3.4.7.{number + 1}": str(folder / f"slice00{number}.dcm") for number in range(2)}
    node = logic.renderDRR(ct_node, "AP", **SMALL)

    def saved(**settings):
        logic.saveRadiograph(node, tmp_path / "a.dcm", **settings)
        written = pydicom.dcmread(tmp_path / "a.dcm")
        return written.FrameOfReferenceUID == "1.2.3.4.5", written.PatientID, written.PatientName

    assert saved() == (False, "", "")
    ct_node.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    monkeypatch.setattr(slicer, "dicomDatabase", SimpleNamespace(fileForInstance=files.get), raising=False)
    assert saved() == (True, "P-77", "")
    assert saved(keepIdentity=True) == (True, "P-77", "SECRET^NAME")
    monkeypatch.delattr(slicer, "dicomDatabase")
    assert saved() == (False, "", "") and saved(ct=folder) == (True, "P-77", "")
    # What was read again is a node without a name in it.
    logic.saveRadiograph(node, tmp_path / "SECRET.dcm", ct=folder, keepIdentity=True)
    back = logic.loadRadiograph(tmp_path / "SECRET.dcm")
    attributes = [back.GetAttribute(name) for name in back.GetAttributeNames()]
    assert "SECRET" not in " ".join([back.GetName(), *attributes]) and "patient.dcm" in attributes


def test_saving_what_cannot_be_written(logic, ct_node, tmp_path):
    node = logic.renderDRR(ct_node, "AP", **SMALL)
    with pytest.raises(InputError, match="cannot hold a radiograph"):
        logic.saveRadiograph(node, tmp_path / "front.docx")
    with pytest.raises(InputError, match="no projection geometry"):
        logic.saveRadiograph(ct_node, tmp_path / "front.nrrd")
    assert list(tmp_path.iterdir()) == []
