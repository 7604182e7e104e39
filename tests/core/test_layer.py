"""Each layer against its equation."""

import numpy as np
import pytest
import torch
from torch import Tensor

from neurometa.core.layer import EPSILON, Conv2d, Flatten, Linear, Norm, Offset, Pool, Scale, Spiking, TimeAverage
from neurometa.types import Signal
from tests import oracles
from tests.small import LIVELY


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(found: Tensor, expected: np.ndarray | Tensor) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=1e-11, atol=1e-12)  # the same sums in another order


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(5, 7), (6, 6)])
def test_a_convolution_equals_the_sum_of_products(kernel: int, stride: int, size: tuple[int, int], generator: torch.Generator) -> None:
    layer = Conv2d(4, kernel, stride)
    params, shape = layer.init(generator, (2, *size))
    x = normal(3, 2, *size)
    y, noted = layer.apply(params, Signal(x, False), {})
    assert y.values.shape == (3, *shape)
    assert not noted
    close(y.values, oracles.convolve(x.numpy(), params["weight"].numpy(), stride))
    timed, _ = layer.apply(params, Signal(torch.stack([x, -x]), True), {})
    assert timed.timed
    close(timed.values, torch.stack([y.values, -y.values]))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_memory_layout_of_the_input_does_not_matter(channels: int, generator: torch.Generator) -> None:
    layer = Conv2d(4, bias=True)
    params = layer.init(generator, (channels, 6, 6))[0] | {"bias": normal(4)}
    x = normal(2, channels, 6, 6)
    expected = torch.nn.functional.conv2d(x, params["weight"], params["bias"], 1, 1)
    for layout in (torch.contiguous_format, torch.channels_last):
        close(layer.apply(params, Signal(x.contiguous(memory_format=layout), False), {})[0].values, expected)


def test_a_linear_layer_multiplies_the_last_axis(generator: torch.Generator) -> None:
    params, shape = Linear(3).init(generator, (5,))
    assert shape == (3,)
    assert params["bias"].count_nonzero() == 0
    params["bias"] = normal(3)
    for x in (normal(2, 5), normal(4, 2, 5)):
        close(
            Linear(3).apply(params, Signal(x, x.ndim == 3), {})[0].values, x.numpy() @ params["weight"].numpy().T + params["bias"].numpy()
        )


def test_an_unwritten_readout_passes_its_input_on(generator: torch.Generator) -> None:
    assert Linear(None).init(generator, (5,)) == ({}, (5,))
    x = Signal(normal(2, 5), False)
    assert Linear(None).apply({}, x, {})[0] is x
    close(Linear(None).apply({"weight": normal(3, 5)}, x, {})[0].values, x.values @ normal(3, 5).T)


@pytest.mark.parametrize("fan_in", [16, 144])
def test_initial_weights_have_the_variance_that_keeps_activity(fan_in: int, generator: torch.Generator) -> None:
    dense = Linear(500).init(generator, (fan_in,))[0]["weight"]
    conv = Conv2d(500, 3).init(generator, (16, 5, 5))[0]["weight"]
    assert dense.abs().max() <= (6 / fan_in) ** 0.5
    assert float(dense.var()) == pytest.approx(2 / fan_in, rel=0.1)
    assert float(conv.var()) == pytest.approx(2 / 144, rel=0.05)


@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 4, 5), (2, 7, 3), (2, 7, 3, 4, 5)])
def test_normalisation_uses_the_batchs_biased_statistics_and_notes_them(shape: tuple[int, ...]) -> None:
    timed = len(shape) in (3, 5)
    axis = 2 if timed else 1
    x, params = normal(*shape) * 3 + 1, {"gain": normal(3), "shift": normal(3, seed=1)}
    y, noted = Norm().apply(params, Signal(x, timed), {})
    close(y.values, oracles.normalise(x.numpy(), params["gain"].numpy(), params["shift"].numpy(), axis, EPSILON))
    others = tuple(a for a in range(x.ndim) if a != axis)
    close(noted["mean"], x.numpy().mean(others))
    close(noted["var"], x.numpy().var(others))


def test_given_statistics_are_used_and_not_measured() -> None:
    params = {"gain": normal(3), "shift": normal(3, seed=1), "mean": normal(3, seed=2), "var": normal(3, seed=3).square()}
    x = normal(6, 3)
    y, noted = Norm().apply(params, Signal(x, False), {})
    assert not noted
    close(y.values, params["gain"] * (x - params["mean"]) / (params["var"] + EPSILON).sqrt() + params["shift"])


def test_initial_gain_and_shift_are_as_asked(generator: torch.Generator) -> None:
    params, shape = Norm(0.5, 0.2).init(generator, (3, 4, 4))
    assert shape == (3, 4, 4)
    assert params["gain"].tolist() == [0.5] * 3
    assert params["shift"].tolist() == [0.2] * 3


def test_normalisation_folds_into_the_convolution_before_it(generator: torch.Generator) -> None:
    conv = Conv2d(4)
    weight = conv.init(generator, (2, 6, 6))[0]["weight"]
    norm = {"gain": normal(4), "shift": normal(4, seed=1), "mean": normal(4, seed=2), "var": normal(4, seed=3).square()}
    scale = norm["gain"] / (norm["var"] + EPSILON).sqrt()
    folded = {"weight": weight * scale.reshape(-1, 1, 1, 1), "bias": norm["shift"] - norm["mean"] * scale}
    x = Signal(normal(3, 2, 2, 6, 6), True)
    two = Norm().apply(norm, conv.apply({"weight": weight}, x, {})[0], {})[0]
    close(two.values, Conv2d(4, bias=True).apply(folded, x, {})[0].values)


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3, 2, 2)], ids=["dense", "timed pictures"])
def test_second_derivatives_of_normalisation_under_vmap_equal_finite_differences(shape: tuple[int, ...]) -> None:
    gain, shift, weights, to_x, to_gain = normal(3), normal(3, seed=1), normal(*shape, seed=2), normal(*shape, seed=3), normal(3, seed=4)

    def loss(x: Tensor, gain: Tensor) -> Tensor:
        y = Norm().apply({"gain": gain, "shift": shift}, Signal(x, x.ndim == 5), {})[0].values
        return (y.tanh() * weights).sum() + y.square().sum() * y.mean()

    def along(x: Tensor, gain: Tensor) -> Tensor:
        """Slope of the loss in a fixed direction, by its gradient."""
        slope_x, slope_gain = torch.func.grad(loss, (0, 1))(x, gain)
        return (slope_x * to_x).sum() + (slope_gain * to_gain).sum()

    tasks = torch.stack([normal(*shape, seed=seed) for seed in (5, 6, 7)])
    gains = torch.stack([gain, gain + 0.5, 2 * gain])
    second_x, second_gain = torch.func.vmap(torch.func.grad(along, (0, 1)))(tasks, gains)
    h = 1e-5
    way_x, way_gain = normal(3, *shape, seed=8), normal(3, 3, seed=9)
    for i in range(3):
        up, down = (along(tasks[i] + sign * h * way_x[i], gains[i] + sign * h * way_gain[i]) for sign in (1, -1))
        second = (second_x[i] * way_x[i]).sum() + (second_gain[i] * way_gain[i]).sum()
        assert float(second) == pytest.approx(float(up - down) / (2 * h), rel=1e-6)


@pytest.mark.parametrize("how", ["average", "sum", "max"])
@pytest.mark.parametrize("size", [(6, 4), (7, 5)])
def test_pooling_equals_its_name(how: str, size: tuple[int, int], generator: torch.Generator) -> None:
    x = normal(3, 2, 4, *size)
    y, _ = Pool(2, how).apply({}, Signal(x, True), {})
    assert y.values.shape[2:] == Pool(2, how).init(generator, (4, *size))[1]
    close(y.values, oracles.pool(x.numpy(), 2, how))
    close(Pool(2, how).apply({}, Signal(x[0], False), {})[0].values, y.values[0])


def test_sum_pooling_of_spikes_counts_them() -> None:
    spikes = (normal(2, 1, 4, 4) > 0).double()
    counted = Pool(2, "sum").apply({}, Signal(spikes, False), {})[0].values
    assert counted.sum() == spikes.sum()
    assert torch.equal(counted, counted.round())


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 1.0])
def test_the_time_average_is_the_mean_of_a_leaky_integrator(decay: float) -> None:
    x = normal(6, 3, 4)
    y, _ = TimeAverage(decay).apply({}, Signal(x, True), {})
    assert not y.timed
    close(y.values, oracles.leaky_mean(x.numpy(), decay))


@pytest.mark.parametrize("decay", [0.0, 0.6])
def test_a_linear_readout_commutes_with_the_time_average(decay: float) -> None:
    x, weight = normal(6, 3, 4), {"weight": normal(5, 4, seed=1)}
    before = Linear(5).apply(weight, TimeAverage(decay).apply({}, Signal(x, True), {})[0], {})[0]
    after = TimeAverage(decay).apply({}, Linear(5).apply(weight, Signal(x, True), {})[0], {})[0]
    close(before.values, after.values)


def test_an_untimed_signal_passes_the_time_average_unchanged() -> None:
    x = Signal(normal(3, 4), False)
    assert TimeAverage(0.5).apply({}, x, {})[0] is x


def test_flatten_joins_the_axes_of_one_example(generator: torch.Generator) -> None:
    assert Flatten().init(generator, (2, 3, 4)) == ({}, (24,))
    assert Flatten().apply({}, Signal(normal(5, 2, 3, 4), False), {})[0].values.shape == (5, 24)
    assert Flatten().apply({}, Signal(normal(6, 5, 2, 3, 4), True), {})[0].values.shape == (6, 5, 24)


def test_a_spiking_layer_holds_an_untimed_current_and_follows_a_timed_one() -> None:
    x = normal(3, 4) + 0.5
    held, noted = Spiking(LIVELY, 6).apply({}, Signal(x, False), {})
    followed, _ = Spiking(LIVELY, 99).apply({}, Signal(x.expand(6, 3, 4), True), {})
    assert held.timed
    assert held.values.sum() > 5
    assert torch.equal(held.values, followed.values)
    assert noted["z"] is held.values
    assert noted["v"].shape == (6, 3, 4)
    assert torch.equal(noted["v"] > LIVELY.threshold, held.values == 1)


@pytest.mark.parametrize("how", [{"padding": 0}, {"padding": 2, "stride": 2}, {"dilation": 2}, {"dilation": 2, "padding": 1, "groups": 2}])
def test_padding_dilation_and_groups_are_torchs(how: dict, generator: torch.Generator) -> None:
    layer = Conv2d(4, 3, bias=True, **how)
    params, shape = layer.init(generator, (2, 7, 6))
    params["bias"] = normal(4)
    x = normal(3, 2, 7, 6)
    theirs = torch.nn.Conv2d(2, 4, 3, **{"padding": layer.pad, **how})
    theirs.load_state_dict(params)
    found = layer.apply(params, Signal(x, False), {})[0].values
    assert found.shape == (3, *shape)
    close(found, theirs(x).detach())


@pytest.mark.parametrize(("how", "module"), [("max", torch.nn.MaxPool2d), ("average", torch.nn.AvgPool2d)])
def test_windows_of_a_pool_begin_every_stride(how: str, module: type, generator: torch.Generator) -> None:
    x = normal(3, 2, 7, 6)
    found = Pool(3, how, 2).apply({}, Signal(x, False), {})[0].values
    assert found.shape[1:] == Pool(3, how, 2).init(generator, (2, 7, 6))[1]
    close(found, module(3, 2)(x))


def test_a_scale_multiplies_what_passes(generator: torch.Generator) -> None:
    x = normal(4, 2, 5)
    assert Scale(0.3).init(generator, (5,)) == ({}, (5,))
    close(Scale(0.3).apply({}, Signal(x, True), {})[0].values, 0.3 * x)


def test_an_offset_adds_a_bias_to_every_step(generator: torch.Generator) -> None:
    x, bias = normal(4, 2, 5), normal(5, seed=1)
    assert Offset().init(generator, (5,))[0]["bias"].tolist() == [0] * 5
    close(Offset().apply({"bias": bias}, Signal(x, True), {})[0].values, x + bias)
