"""The scan: windows in pieces, exact derivatives, layouts, and what it refuses."""

import pytest
import torch

from neurometa.core.neuron import LIF, LIFState
from neurometa.core.scan import kernel_for, scan
from neurometa.core.surrogate import Surrogate
from neurometa.errors import InternalError, UserError
from tests.small import LIVELY

LEAKY = LIVELY._replace(hard_reset=False)
RESETS = pytest.mark.parametrize("neuron", [LIVELY, LEAKY], ids=["hard", "subtractive"])
KERNELS = pytest.mark.parametrize("kernel", ["numba", "reference"])
SMOOTH = [
    LIF(0.7, 0.8, True, True, Surrogate("sigmoid", 1.3, smooth=True)),
    LIF(0.7, 0.8, False, True, Surrogate("triangle", 1.3, smooth=True)),
]
"""Differentiable forward and nothing cut: what finite differences can judge."""


def current(steps: int, *shape: int) -> torch.Tensor:
    return torch.randn(steps, *shape, generator=torch.Generator().manual_seed(3)) + 0.4


@KERNELS
@RESETS
@pytest.mark.parametrize("at", [1, 3, 7])
def test_a_window_in_two_pieces_is_one_window(neuron: LIF, kernel: str, at: int) -> None:
    x = current(8, 5, 4).requires_grad_()
    z, v = scan(neuron, x, 8, kernel=kernel)
    first_z, first_v = scan(neuron, x[:at], at, kernel=kernel)
    second_z, second_v = scan(neuron, x[at:], 8 - at, LIFState(first_v[-1], first_z[-1]), kernel)
    assert z.sum() > 20
    assert torch.equal(torch.cat([first_z, second_z]), z)
    assert torch.equal(torch.cat([first_v, second_v]), v)
    outputs = (z[at:], v[at:]), (second_z, second_v)
    whole, pieces = (torch.autograd.grad((a**2).sum() + b.sin().sum(), x, retain_graph=True)[0] for a, b in outputs)
    assert whole[0].abs().sum() > 0, "nothing flows back through the state"
    torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=1e-13)  # the same products in another order


@KERNELS
@RESETS
def test_a_held_current_continues_too(neuron: LIF, kernel: str) -> None:
    x = current(1, 6)
    z, v = scan(neuron, x, 7, kernel=kernel)
    first_z, first_v = scan(neuron, x, 3, kernel=kernel)
    for steps in (1, 4):
        second = scan(neuron, x, steps, LIFState(first_v[-1], first_z[-1]), kernel)
        assert torch.equal(second[0], z[3 : 3 + steps])
        assert torch.equal(second[1], v[3 : 3 + steps])
    assert z.sum() > 0


@RESETS
def test_a_held_current_is_the_same_current_at_every_step(neuron: LIF) -> None:
    x = current(1, 4, 3).requires_grad_()
    results = []
    for shown in (x, x.expand(6, 4, 3)):
        z, v = scan(neuron, shown, 6)
        results.append((z, v, *torch.autograd.grad(z.sum() + v.square().sum(), x)))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("rows", [4, 1], ids=["varying", "held"])
@pytest.mark.parametrize("neuron", SMOOTH, ids=["hard", "subtractive"])
def test_first_and_second_derivatives_equal_finite_differences(neuron: LIF, rows: int) -> None:
    x = current(rows, 2, 3).requires_grad_()
    torch.autograd.gradcheck(lambda x: scan(neuron, x, 4, kernel="numba"), x)
    torch.autograd.gradgradcheck(lambda x: scan(neuron, x, 4, kernel="numba"), x)


def test_derivatives_with_respect_to_an_initial_state_equal_finite_differences() -> None:
    inputs = [part.requires_grad_() for part in (current(3, 4), torch.tensor([0.1, 0.5, 1.2, -0.3]), torch.tensor([0.2, 0.4, 0.9, 0.0]))]

    def run(x: torch.Tensor, v: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return scan(SMOOTH[0], x, 3, LIFState(v, z))

    torch.autograd.gradcheck(run, inputs)
    torch.autograd.gradgradcheck(run, inputs)


def test_a_third_derivative_is_refused_and_the_reference_has_it() -> None:
    def third(kernel: str) -> torch.Tensor:
        def loss(x: torch.Tensor) -> torch.Tensor:
            return scan(LIVELY, x, 3, kernel=kernel)[0].sum()

        def bent(x: torch.Tensor) -> torch.Tensor:
            return torch.func.grad(loss)(x).square().sum()

        return torch.func.grad(lambda x: torch.func.grad(bent)(x).square().sum())(current(3, 2))

    with pytest.raises(InternalError, match="kernel='reference'"):
        third("numba")
    assert torch.isfinite(third("reference")).all()


@RESETS
def test_any_strides_give_the_same_numbers(neuron: LIF) -> None:
    plain = current(5, 2, 3, 4)
    expected = [*scan(neuron, plain, 5), torch.func.grad(lambda x: scan(neuron, x, 5)[0].sum())(plain)]
    spaced = torch.zeros(10, 2, 6, 4)
    spaced[::2, :, ::2] = plain
    turned = plain.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    for x in (spaced[::2, :, ::2], turned, plain.flip(0).flip(0)):
        assert torch.equal(x, plain)
        found = [*scan(neuron, x, 5), torch.func.grad(lambda x: scan(neuron, x, 5)[0].sum())(x)]
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_expanded_and_scalar_neurons_work() -> None:
    one = current(5, 1)
    z, _ = scan(LIVELY, one.expand(5, 7), 5)
    assert torch.equal(z, scan(LIVELY, one, 5)[0].expand(5, 7))
    assert torch.equal(scan(LIVELY, one[:, 0], 5)[0], z[:, 0])


@RESETS
def test_a_window_of_one_step_has_its_derivatives(neuron: LIF) -> None:
    x = current(1, 6)

    def loss(x: torch.Tensor, kernel: str) -> torch.Tensor:
        return (scan(neuron, x, 1, kernel=kernel)[0] * x).sum()

    def bent(x: torch.Tensor, kernel: str) -> torch.Tensor:
        return torch.func.grad(loss)(x, kernel).square().sum()

    for order in (loss, bent):
        torch.testing.assert_close(torch.func.grad(order)(x, "numba"), torch.func.grad(order)(x, "reference"), rtol=1e-12, atol=1e-13)


@KERNELS
def test_a_window_of_another_length_is_refused(kernel: str) -> None:
    with pytest.raises(UserError, match="3 time steps given, 1 or 9 expected"):
        scan(LIVELY, current(3, 2), 9, kernel=kernel)


def test_the_compiled_kernel_serves_floats_on_the_cpu_and_nothing_else() -> None:
    assert {kernel_for(torch.zeros(1, dtype=kind)) for kind in (torch.float32, torch.float64)} == {"numba"}
    assert kernel_for(torch.zeros(1, dtype=torch.bfloat16)) == "reference"
    assert kernel_for(torch.zeros(1, device="meta")) == "reference"


def test_the_input_is_left_as_it_was() -> None:
    x = current(4, 5)
    before = x.clone()
    z, _ = scan(LIVELY, x, 4)
    z.zero_()
    assert torch.equal(x, before)
