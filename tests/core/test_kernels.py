"""The compiled kernel equals the reference: every kind of neuron, every order of derivative, every transform."""

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from neurometa.core.kernels import numba as kernels
from neurometa.core.neuron import LIF
from neurometa.core.scan import scan
from neurometa.core.surrogate import KINDS, Surrogate

STEPS = 5
ALL = [
    LIF(0.7, 0.8, hard, through, Surrogate(kind, 1.3, smooth))
    for kind, hard, through, smooth in product(KINDS, (True, False), (True, False), (True, False))
]
COMPILED = [
    LIF(0.7, 0.8, hard, through, Surrogate(kind, 1.3, smooth))
    for kind, hard, through, smooth in (
        ("fast-sigmoid", True, True, False),
        ("fast-sigmoid", False, False, True),
        ("arctan", True, False, True),
        ("arctan", False, True, False),
        ("triangle", False, True, True),
        ("triangle", True, False, False),
        ("sigmoid", True, True, True),
        ("sigmoid", False, False, False),
        ("box", True, True, False),
        ("box", False, False, True),
    )
]
"""Every pair of choices is here; to compile all 40 kinds would take minutes."""
FEW = COMPILED[:2]
CLOSE = {"rtol": 1e-11, "atol": 1e-12}
"""The same sums in another order."""

Run = Callable[[Tensor], tuple[Tensor, Tensor]]


def currents(*, held: bool, channels_last: bool) -> Tensor:
    """(1 or STEPS, 2, 3, 2, 2), lively around the threshold; the same numbers in either layout."""
    x = torch.randn(1 if held else STEPS, 2, 3, 2, 2, generator=torch.Generator().manual_seed(3)) + 0.5
    return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3) if channels_last else x


def runner(neuron: LIF, kernel: str) -> Run:
    return lambda x: scan(neuron, x, STEPS, kernel=kernel)


def weights(*shape: int, seed: int = 4) -> Tensor:
    """Numbers in -1..1 without visible order; not drawn, because vmap forbids it."""
    return (torch.arange(math.prod(shape)) * seed * 1.7 + seed).sin().reshape(shape)


def named(neuron: LIF) -> str:
    reset = "hard" if neuron.hard_reset else "subtractive"
    return f"{neuron.surrogate.kind}-{reset}{'' if neuron.reset_gradient else '-cut'}{'-smooth' if neuron.surrogate.smooth else ''}"


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the kernels' own source in Python instead of compiling it."""
    compiled = kernels.kernels

    def source(*kind: object) -> kernels.Kernels:
        return kernels.Kernels(*(dispatcher.py_func for dispatcher in compiled(*kind)))

    monkeypatch.setattr(kernels, "kernels", source)


def twice(run: Run, x: Tensor, use_z: bool, use_v: bool) -> list[Tensor]:
    """Gradient of a weighted sum of outputs, and of a weighted sum of that, with respect to the current and the weights."""
    x = x.detach().requires_grad_()
    outputs = [part for part, used in zip(run(x), (use_z, use_v), strict=True) if used]
    cotangents = [weights(*part.shape, seed=5 + i).requires_grad_() for i, part in enumerate(outputs)]
    (first,) = torch.autograd.grad(outputs, x, cotangents, create_graph=True)
    # a third of the parts has no second derivative: v of a subtractive neuron without reset gradient is linear
    second = torch.autograd.grad((first * weights(*first.shape, seed=8)).sum(), [x, *cotangents], allow_unused=True, materialize_grads=True)
    return [first.detach(), *second]


def same_as_reference(neuron: LIF) -> None:
    """Both layouts, both kinds of current, gradient and its gradient, with a cotangent on each output or on one."""
    ours, theirs = runner(neuron, "numba"), runner(neuron, "reference")
    for held, channels_last in product((False, True), (False, True)):
        x = currents(held=held, channels_last=channels_last)
        (z, v), (expected_z, expected_v) = ours(x), theirs(x)
        assert expected_z.sum() > 10
        assert expected_z.std() > 0
        if neuron.surrogate.smooth:
            torch.testing.assert_close((z, v), (expected_z, expected_v), rtol=1e-13, atol=1e-14)  # two libraries' exp and atan
        else:
            assert torch.equal(z, expected_z)
            assert torch.equal(v, expected_v)
        for use_z, use_v in ((True, True), (True, False), (False, True)):
            torch.testing.assert_close(twice(ours, x, use_z, use_v), twice(theirs, x, use_z, use_v), **CLOSE)


@pytest.mark.parametrize("neuron", COMPILED, ids=named)
def test_numba_equals_reference(neuron: LIF) -> None:
    same_as_reference(neuron)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("neuron", ALL, ids=named)
def test_the_source_of_every_kind_equals_reference(neuron: LIF) -> None:
    same_as_reference(neuron)


def inner(run: Run) -> Callable[[Tensor], Tensor]:
    """A loss of both outputs that is not linear in them."""

    def loss(x: Tensor) -> Tensor:
        z, v = run(x)
        return ((z * weights(*z.shape)).sum(0) ** 2).sum() + (v * v.tanh()).sum()

    return loss


def outer(run: Run) -> Callable[[Tensor], Tensor]:
    """A loss after one step of descent on the inner one: what a meta-gradient differentiates."""
    return lambda x: inner(run)(x - 0.1 * torch.func.grad(inner(run))(x))


@pytest.mark.parametrize("held", [False, True], ids=["varying", "held"])
@pytest.mark.parametrize("neuron", COMPILED, ids=named)
def test_grad_of_grad_under_vmap_equals_the_reference_one_by_one(neuron: LIF, held: bool) -> None:
    x = torch.stack([currents(held=held, channels_last=False) + shift for shift in (-0.2, 0.0, 0.3)], 2)  # the task axis in the middle
    expected = torch.stack([torch.func.grad(outer(runner(neuron, "reference")))(one) for one in x.unbind(2)])
    together = torch.func.vmap(torch.func.grad(outer(runner(neuron, "numba"))), in_dims=2)(x)
    torch.testing.assert_close(together, expected, **CLOSE)
    torch.testing.assert_close(torch.func.grad(outer(runner(neuron, "numba")))(x[:, :, 0]), expected[0], **CLOSE)


@pytest.mark.parametrize("neuron", FEW, ids=named)
def test_vmap_inside_vmap_equals_the_reference(neuron: LIF) -> None:
    x = weights(4, 2, STEPS, 3) + 0.5
    nested = torch.func.vmap(torch.func.vmap(torch.func.grad(outer(runner(neuron, "numba")))))(x)
    expected = torch.stack([torch.stack([torch.func.grad(outer(runner(neuron, "reference")))(b) for b in a]) for a in x])
    torch.testing.assert_close(nested, expected, **CLOSE)


@pytest.mark.parametrize("neuron", FEW, ids=named)
@pytest.mark.parametrize("held", [False, True], ids=["varying", "held"])
def test_jacobian_by_vmapped_cotangents_equals_the_reference(neuron: LIF, held: bool) -> None:
    x = currents(held=held, channels_last=True)
    ours, theirs = torch.func.jacrev(runner(neuron, "numba"))(x), torch.func.jacrev(runner(neuron, "reference"))(x)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    hessian = torch.func.jacrev(torch.func.grad(inner(runner(neuron, "numba"))))(x)
    torch.testing.assert_close(hessian, torch.func.jacrev(torch.func.grad(inner(runner(neuron, "reference"))))(x), **CLOSE)


@pytest.mark.parametrize("hard", [True, False])
def test_float32_spikes_are_the_same_and_gradients_close(hard: bool) -> None:
    x = torch.randn(200, 50, dtype=torch.float32, generator=torch.Generator().manual_seed(1)) + 0.3
    neuron = LIF(0.9, 0.7, hard)
    gradients = []
    for kernel in ("numba", "reference"):
        current = x.clone().requires_grad_()
        z, v = scan(neuron, current, 200, kernel=kernel)
        gradients.append((z.detach(), v.detach(), *torch.autograd.grad((z * z).sum() + v.sin().sum(), current)))
    assert all(part.dtype == torch.float32 for part in gradients[0])
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])
    torch.testing.assert_close(gradients[0][2], gradients[1][2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("neuron", [COMPILED[5], COMPILED[8]], ids=named)
@pytest.mark.parametrize("kernel", ["numba", "reference"])
def test_a_silent_neuron_on_the_surrogates_bound_has_no_gradient(neuron: LIF, kernel: str) -> None:
    edge = neuron._replace(threshold=1.0, surrogate=neuron.surrogate._replace(slope=1.0))
    gradient = torch.func.grad(lambda x: scan(edge, x, STEPS, kernel=kernel)[0].sum())(torch.zeros(STEPS, 3))
    assert gradient.count_nonzero() == 0


def test_more_neurons_than_a_block_are_all_there() -> None:
    x = weights(STEPS, 2500) + 0.5
    torch.testing.assert_close(twice(runner(FEW[0], "numba"), x, True, True), twice(runner(FEW[0], "reference"), x, True, True), **CLOSE)


@pytest.mark.parametrize("neuron", FEW, ids=named)
@pytest.mark.parametrize("held", [False, True], ids=["varying", "held"])
def test_a_gradient_that_is_the_same_at_every_step_is_read_rightly(neuron: LIF, held: bool) -> None:
    x = currents(held=held, channels_last=True)

    def mean_rate(run: Run) -> Callable[[Tensor], Tensor]:
        return lambda x: (run(x)[0].sum(0) * weights(2, 3, 2, 2)).sum() + (run(x)[1].sum(0) * weights(2, 3, 2, 2, seed=6)).sum()

    def slope(run: Run) -> Callable[[Tensor], Tensor]:
        return lambda x: torch.func.grad(mean_rate(run))(x).square().sum()

    for loss in (mean_rate, slope):
        found, expected = (torch.func.grad(loss(runner(neuron, kernel)))(x) for kernel in ("numba", "reference"))
        torch.testing.assert_close(found, expected, **CLOSE)
        together = torch.func.vmap(torch.func.grad(loss(runner(neuron, "numba"))), in_dims=1, out_dims=1)(torch.stack([x, 2 * x], 1))
        torch.testing.assert_close(together[:, 0], expected, **CLOSE)
