"""Reach of convolutions and pools, against connectivity found by pushing single pixels through torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from neurometa.energy import reach


def found(function, height, width):
    """Boolean (inputs, outputs): which output moves when one input pixel does."""
    pixels = torch.eye(height * width).reshape(height * width, 1, height, width)
    return function(pixels).flatten(1).numpy() != 0


@settings(max_examples=40)
@given(st.integers(3, 9), st.integers(3, 9), st.sampled_from([1, 3, 5]), st.integers(1, 3), st.integers(1, 3))
def test_a_convolution_and_a_pool_reach_what_a_single_pixel_moves(height, width, kernel, stride, size):
    weight = torch.ones(1, 1, kernel, kernel)
    convolved = reach.convolution((1, height, width), kernel, stride)
    expected = found(lambda x: F.conv2d(x, weight, stride=stride, padding=kernel // 2), height, width)
    np.testing.assert_array_equal(convolved.matrix(), expected)
    np.testing.assert_array_equal(convolved.fan_out(), expected.sum(1))
    assert convolved.pairs == expected.sum()
    after = reach.convolution((1, height, width), 3, 1).then(reach.pooling((1, height, width), size))
    pooled = found(lambda x: F.avg_pool2d(F.conv2d(x, torch.ones(1, 1, 3, 3), padding=1), size), height, width)
    np.testing.assert_array_equal(after.matrix(), pooled)


def test_a_corner_has_four_taps_of_nine_an_edge_six():
    fan_out = reach.convolution((1, 4, 4), 3, 1).fan_out().reshape(4, 4)
    assert fan_out.tolist() == [[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]]


def test_what_does_not_fill_a_window_reaches_nothing():
    assert reach.pooling((1, 5, 5), 2).fan_out().reshape(5, 5)[4].sum() == 0
    assert reach.pooling((1, 5, 5), 2).pairs == 16


@pytest.mark.parametrize("shape", [(3, 4, 5), (7,)])
def test_a_dense_layer_sees_every_position(shape):
    assert reach.everywhere(shape).fan_out().tolist() == [1] * (20 if len(shape) == 3 else 1)
    assert reach.same(shape).matrix().trace() == (20 if len(shape) == 3 else 1)
