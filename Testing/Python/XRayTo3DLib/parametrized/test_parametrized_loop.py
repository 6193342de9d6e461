"""The loop of markers and X-ray, and its uses, with networks of formulas."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from paper_head import paper_head
from paper_networks import COLUMNS, ROWS, PaperNetworks
from tables import each

from XRayTo3DLib import InputError, Radiograph, render_drr, view_projection
from XRayTo3DLib.parametrized.anomaly import find_anomaly
from XRayTo3DLib.parametrized.augment import augment, track
from XRayTo3DLib.parametrized.completion import blended, complete, in_frame
from XRayTo3DLib.parametrized.examples import example_of
from XRayTo3DLib.parametrized.loop import Loop, settle, start, step
from XRayTo3DLib.parametrized.regions import find_region
from XRayTo3DLib.parametrized.surface_image import SurfaceImage

HEAD = find_region("head_neck")
ANCHORS = {"chin": (62.0, 64.0), "larynx": (88.0, 66.0), "brainstem": (36.0, 64.0), "lung_top_left": (100.0, 92.0)}
CHIN, LARYNX = HEAD.names.index("chin"), HEAD.names.index("larynx")


@functools.cache
def surface() -> SurfaceImage:
    return example_of(*paper_head(), HEAD, "AP").surface


def networks(**how: float) -> PaperNetworks:
    return PaperNetworks(HEAD, ANCHORS, **how)


def test_it_comes_to_rest_and_only_what_is_there_has_a_place() -> None:
    state = settle(networks(), start(networks(), HEAD, surface()))
    assert state.converged and 1 <= state.rounds <= 9 and state.moved_mm < 0.5
    assert set(state.positions()) == set(ANCHORS) and np.abs(state.points[CHIN] - ANCHORS["chin"]).max() < 0.2
    # In a frontal view a row is 4 mm of height: the plane of the picture holds the markers.
    down = state.positions()["chin"][2] - state.positions()["larynx"][2]
    assert abs(down - 4 * (state.points[LARYNX, 0] - state.points[CHIN, 0])) < 1e-6


def test_a_dragged_marker_stays_where_it_was_put_others_follow_and_dragging_back_gives_the_first_image() -> None:
    nets = networks()
    first = settle(nets, start(nets, HEAD, surface()))
    put = first.shifted("chin", 0.0, -10.0)
    assert np.allclose(put - first.points[CHIN], [2.5, 0])
    moved = settle(nets, first, {"chin": put})
    assert moved.converged and np.array_equal(moved.points[CHIN], put) and moved.held[CHIN]
    assert 0.6 < moved.points[LARYNX, 0] - first.points[LARYNX, 0] < 1.4  # 0.4 of the drag in the end
    far = (ROWS < 24) | (COLUMNS < 30)
    assert np.abs(moved.xray - first.xray)[far].max() < 0.01 < np.abs(moved.xray - first.xray).max()
    back = settle(nets, moved, {"chin": first.points[CHIN]})
    assert np.abs(back.xray - first.xray).mean() < 1e-3 and not np.shares_memory(back.xray, first.xray)


def test_one_that_never_rests_ends_at_the_bound_and_says_so() -> None:
    nets = networks(overshoot=3.0)
    state = settle(nets, start(nets, HEAD, surface()), most_rounds=7)
    assert not state.converged and state.rounds == 7 and state.moved_mm > 0.5


def test_a_locked_marker_stays_and_is_not_dragged() -> None:
    loop = Loop(networks(), HEAD, surface())
    before = loop.state.points[LARYNX].copy()
    loop.lock("larynx")
    loop.drag("chin", loop.state.shifted("chin", 8.0, -12.0))
    loop.settle()
    assert np.array_equal(loop.state.points[LARYNX], before)
    with pytest.raises(InputError, match="larynx is locked"):
        loop.drag("larynx", before)
    with pytest.raises(InputError, match="locked"):
        step(networks(), loop.state, {"larynx": before})
    loop.lock("larynx", False)
    loop.release("chin")
    assert abs(loop.settle().points[CHIN, 0] - ANCHORS["chin"][0]) < 4 and not loop.state.held.any()


def test_a_storm_of_moves_leaves_no_backlog_and_the_newest_place_wins() -> None:
    loop = Loop(networks(), HEAD, surface())
    calls = loop.networks.calls
    loop.begin()
    for number in range(500):
        loop.drag("chin", (62 + number / 100, 64))
        if number % 100 == 99:
            assert loop.advance() and loop.state.points[CHIN, 0] == 62 + number / 100
    assert loop.networks.calls - calls <= 10 and not loop._wanted
    rounds = 0
    while loop.advance():
        rounds += 1
    assert rounds <= 20 and loop.state.points[CHIN, 0] == 62 + 4.99
    assert not loop.advance() and len(loop._past) == 1


def test_undo_goes_back_drag_by_drag_and_reset_to_the_surface_alone() -> None:
    loop = Loop(networks(), HEAD, surface())
    states = [loop.state]
    for rows in (2, 4):
        loop.begin()
        loop.drag("chin", (62 + rows, 64))
        loop.settle()
        states.append(loop.state)
    loop.reset()
    assert np.array_equal(loop.state.points, states[0].points, equal_nan=True)
    for state in states[::-1]:
        assert loop.undo() and loop.state is state
    assert not loop.undo()
    saved = Loop.resumed(networks(), states[0], states[2])
    saved.reset()
    assert saved.state.points[CHIN, 0] == states[0].points[CHIN, 0] and saved.undo() and saved.state is states[2]


@each(
    "name, place, said",
    [
        ("tail", (10, 10), "no landmark 'tail'"),
        ("chin", (200, 10), "outside the picture of 128 x 128"),
        ("chin", (np.nan, 10), "outside the picture"),
        ("nose_tip", None, "nose_tip is not in this X-ray"),
    ],
)
def test_what_cannot_be_dragged_is_refused(name: str, place: tuple[float, float] | None, said: str) -> None:
    state = start(networks(), HEAD, surface())
    with pytest.raises(InputError, match=said):
        step(networks(), state, {name: state.shifted(name, 1, 1) if place is None else place})
    with pytest.raises(InputError, match="not for the landmarks of the region torso"):
        start(networks(), find_region("torso"), surface())


def test_a_partial_x_ray_keeps_its_pixels_fits_the_markers_and_has_no_seam() -> None:
    nets = networks()
    state = settle(nets, start(nets, HEAD, surface()))
    truth = settle(nets, state, {"chin": (66.0, 66.0)})
    brighter = truth.xray + np.float32(0.4) * (surface().array[1] > 0)  # as of a heavier patient
    shown = ROWS < 78
    done = complete(nets, state, np.where(shown, brighter, np.nan), shown)
    assert np.array_equal(done.xray[shown], brighter[shown])
    assert np.abs(done.state.points[CHIN] - [66, 66]).max() < 0.3 and done.state.converged
    unseen = ~shown & surface().silhouette
    errors = [np.abs(picture - brighter)[unseen].mean() for picture in (state.xray, done.state.xray, done.xray)]
    assert errors[2] < 0.9 * min(errors[:2])
    off = [np.abs(points[LARYNX] - truth.points[LARYNX]).max() for points in (state.points, done.state.points)]
    assert off[1] < 0.5 * off[0]  # it lies in the unseen part
    inside = surface().silhouette[77] & surface().silhouette[78]
    jump = [np.abs(picture[78] - picture[77])[inside].mean() for picture in (brighter, done.xray)]
    plain = np.where(shown, brighter, done.state.xray)
    assert jump[1] < jump[0] + 0.05 < np.abs(plain[78] - plain[77])[inside].mean()
    assert np.array_equal(done.xray[~shown & ~surface().silhouette], done.state.xray[~shown & ~surface().silhouette])


def test_the_shift_beyond_a_seam_falls_by_e_within_its_length() -> None:
    """With one straight seam the equation has a solution by hand: exp(-distance / fade)."""
    predicted, given = np.full((100, 9), 2.0), np.full((100, 9), 3.0)
    shown, body = np.zeros((100, 9), dtype=bool), np.ones((100, 9), dtype=bool)
    shown[:10] = True
    projection = replace(surface().projection, size=(100, 9))
    picture = blended(predicted, given, shown, projection, body, fade_mm=40.0)
    assert np.allclose(picture[10:30, 4] - 2, np.exp(-np.arange(1, 21) * 4 / 40.0), atol=0.01)


def test_a_radiograph_is_placed_in_the_frame() -> None:
    ct, labels = paper_head()
    example = example_of(ct, labels, HEAD, "AP")
    x, y, z = np.mean(list(example.surface.points.values()), axis=0)
    fine = view_projection("AP", (x, y, z + 40), (90, 140), 2.0, source_to_detector=None)
    placed, shown = in_frame(render_drr(ct, [fine])[0], example.surface)
    assert 1000 < np.count_nonzero(shown) < 4000
    assert np.abs(placed - example.xray)[shown].mean() < 0.03 and not placed[~shown].any()
    radiograph = Radiograph(np.zeros((90, 140), dtype=np.float32), fine, "AP", unknown=("gain",))
    with pytest.raises(InputError, match="scale of the X-ray 'AP' is not known"):
        in_frame(radiograph, example.surface)
    with pytest.raises(InputError, match="90 degrees away"):
        in_frame(Radiograph(np.zeros((9, 9), np.float32), view_projection("LAT", size=(9, 9)), "LAT"), example.surface)


def test_an_implant_and_what_is_missing_are_found_where_they_are_and_a_healthy_body_has_none() -> None:
    nets = networks()
    state = settle(nets, start(nets, HEAD, surface()))
    healthy = settle(nets, state, {"chin": (64.0, 65.0)}).xray
    rod = (np.abs(COLUMNS - 66) <= 1) & (np.abs(ROWS - 40) <= 8)
    ill = healthy + 2.0 * rod
    assert find_anomaly(nets, state, healthy, None, 5.0).score == 0
    found = find_anomaly(nets, state, ill, None, 5.0)
    assert np.array_equal(found.mask, rod) and len(found.findings) == 1
    finding = found.findings[0]
    assert abs(finding.area_mm2 - rod.sum() * 16) < 1e-6 and abs(finding.difference - 0.4) < 0.02
    assert np.allclose(finding.centre, (40, 66)) and abs(found.score - 0.3 * rod.sum() * 16 / 100) < 0.2
    gone = find_anomaly(nets, state, healthy - 2.0 * rod, None, 5.0, threshold=0.2)
    assert gone.findings[0].difference < -0.35 and np.array_equal(gone.mask, rod)
    assert not find_anomaly(nets, state, ill, ROWS > 60, 5.0).mask.any()
    with pytest.raises(InputError, match="share of the range"):
        find_anomaly(nets, state, ill, None, 5.0, threshold=1.5)


def test_variants_are_seeded_and_their_annotations_go_along() -> None:
    nets = networks()
    state = settle(nets, start(nets, HEAD, surface()))
    at = state.points[CHIN] + [1.0, -2.0]
    made, again = (augment(nets, state, 4, seed=3, annotations={"mole": at}) for _ in range(2))
    assert all(np.array_equal(a.state.xray, b.state.xray) for a, b in zip(made, again, strict=True))
    assert len({variant.state.xray.tobytes() for variant in made}) == 4
    ways = np.array([variant.state.points[CHIN] - state.points[CHIN] for variant in made])
    found = np.array([variant.annotations["mole"] - at for variant in made])
    assert np.abs(ways).max() > 1 and np.abs(found - ways).max() < 0.7
    assert not np.array_equal(augment(nets, state, 1, seed=4)[0].state.xray, made[0].state.xray)


def test_a_patch_is_found_to_a_fraction_of_a_pixel() -> None:
    picture = np.exp(-((ROWS - 50) ** 2 + (COLUMNS - 60) ** 2) / 18) + 0.3 * np.exp(-((ROWS - 55) ** 2 + (COLUMNS - 58) ** 2) / 8)
    for way in ((0.0, 0.0), (3.0, -2.0), (1.4, 2.6)):
        moved = np.exp(-((ROWS - 50 - way[0]) ** 2 + (COLUMNS - 60 - way[1]) ** 2) / 18)
        moved += 0.3 * np.exp(-((ROWS - 55 - way[0]) ** 2 + (COLUMNS - 58 - way[1]) ** 2) / 8)
        assert np.abs(track(picture, moved, np.array([51.0, 59.0]), 5) - [51 + way[0], 59 + way[1]]).max() < 0.15, way
    assert track(picture, np.zeros((128, 128)), np.array([51.0, 59.0]), 5) is None
