"""What the network promises by construction."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from tiny_recipe import tiny

from XRayTo3DLib.geometry.grid import Grid
from XRayTo3DLib.geometry.views import view_projection
from XRayTo3DLib.reconstruction.methods.virtual_detector import beam, matrix, virtual_projection
from XRayTo3DLib.training.lifted_views.task import build


def inputs(views, count: int = 1):
    grid = Grid.centred((0, 0, 0), 16, 20.0)
    virtual = [virtual_projection(view_projection(v, (0, 0, 0), (8, 8), 4.0, d), grid) for v, d in views]
    matrices = torch.as_tensor(np.stack([matrix(v, grid) for v in virtual]), dtype=torch.float32)
    beams = torch.as_tensor(np.stack([beam(v, grid) for v in virtual]), dtype=torch.float32)
    return matrices[None].repeat(count, 1, 1, 1), beams[None].repeat(count, 1, 1), torch.tensor(grid.affine, dtype=torch.float32)


def network():
    """Untrained, but with the layers that start at zero moved."""
    built = build(tiny()).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in built.parameters():
            if not parameter.any():
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return built


VIEWS = [("AP", None), ("LAT", 1500.0), ("LAO30", 900.0)]


@torch.no_grad()
def test_views_are_a_set_of_any_size_and_their_geometry_is_an_input():
    net, images = network(), torch.rand(1, 3, 32, 32)
    forward = net(images, *inputs(VIEWS), [16, 16, 16])
    backward = net(images.flip(1), *inputs(VIEWS[::-1]), [16, 16, 16])
    torch.testing.assert_close(forward, backward, rtol=1e-4, atol=1e-5)
    assert forward.shape == (1, 2, 16, 16, 16) and forward.min() >= 0
    for count in (1, 2):
        assert net(images[:, :count], *inputs(VIEWS[:count]), [16, 16, 16]).shape == (1, 2, 16, 16, 16)
    turned = net(images, *inputs([VIEWS[0], ("LAT+10", 1500.0), VIEWS[2]]), [16, 16, 16])
    assert (forward - turned).abs().max() > 1e-3


@torch.no_grad()
def test_a_slab_is_computed_as_within_the_whole():
    """Nothing is averaged over space in 3D: slices far enough from the slab's ends do not see that it ends there."""
    net = network()
    net.block3, net.block4 = torch.nn.Identity(), torch.nn.Identity()  # the two that reach furthest: 16 slices each
    images, size = torch.rand(2, 2, 160, 160), [96, 16, 16]
    grid = inputs(VIEWS[:2], 2)
    whole, slab = net(images, *grid, size), net.slab(images, *grid, size, 16, 72)
    torch.testing.assert_close(slab[:, :, 32:40], whole[:, :, 48:56], rtol=1e-4, atol=1e-5)
    assert (slab[:, :, 0] - whole[:, :, 16]).abs().max() > 1e-4  # the slab's own end is another matter


def test_the_distance_to_the_silhouette_is_euclidean():
    image = torch.rand(2, 1, 40, 48)
    image[:, :, 10:30, 8:36] += 60
    image[:, :, 20, 20] = 0
    mask = (image > 0.02 * image.amax(dim=(2, 3), keepdim=True)).numpy()
    inside = np.stack([ndimage.distance_transform_edt(m[0]) - ndimage.distance_transform_edt(~m[0]) for m in mask])
    found = build(tiny()).silhouette_distance(image)[:, 0]
    np.testing.assert_allclose(found, np.clip(inside, -8, 8) / 8, atol=1e-6)
