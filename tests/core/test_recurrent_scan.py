"""The recurrent scan: the compiled kernel equals the reference and both the equation; windows in pieces; derivatives of every order."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neurometa.core.kernels import recurrent as kernels
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF
from neurometa.core.recurrent_scan import recurrent_scan
from neurometa.core.scan import scan
from neurometa.core.surrogate import Surrogate
from neurometa.errors import InternalError, UserError
from tests.oracles import recurrent_lif

STEPS, N = 6, 4
CLOSE = {"rtol": 1e-10, "atol": 1e-10}
"""The same sums in another order; second derivatives are of the order of 100."""
Neuron = LIF | ALIF | IF


def neuron(adaptive: bool, hard: bool, through: bool, kind: str, smooth: bool) -> Neuron:
    rest = (hard, through, Surrogate(kind, 2.0, smooth))
    return ALIF(0.7, 0.8, 0.3, 0.6, *rest) if adaptive else LIF(0.7, 0.8, *rest)


COMPILED = [
    neuron(False, True, False, "fast-sigmoid", False),
    neuron(False, False, True, "sigmoid", True),
    neuron(True, True, True, "sigmoid", True),
    neuron(True, False, True, "fast-sigmoid", False),
]
"""To compile every kind would take minutes; the source of all of them is run in Python instead."""
ALL = [neuron(*kind, "sigmoid", smooth) for *kind, smooth in product((False, True), (True, False), (True, False), (False, True))]
SMOOTH = COMPILED[1:3]
"""Differentiable forward and nothing cut: what finite differences can judge."""


def named(kind: Neuron) -> str:
    reset = "hard" if kind.hard_reset else "subtractive"
    return f"{type(kind).__name__}-{reset}{'' if kind.reset_gradient else '-cut'}{'-smooth' if kind.surrogate.smooth else ''}"


def each(kinds: list[Neuron]) -> Any:
    return pytest.mark.parametrize("kind", kinds, ids=named)


def waves(*shape: int, seed: int = 4) -> Tensor:
    """Numbers in -1..1 without visible order; not drawn, because vmap forbids it."""
    return (torch.arange(math.prod(shape)) * seed * 1.7 + seed).sin().reshape(shape)


def currents(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3)) + 0.6


def weights(*tasks: int) -> Tensor:
    return 0.6 * torch.randn(*tasks, N, N, generator=torch.Generator().manual_seed(5))


def learnt(kind: Neuron, constants: Tensor) -> Neuron:
    """The same kind with constants of each neuron, (4, n)."""
    names = ("decay", "threshold", "beta", "rho") if isinstance(kind, ALIF) else ("decay", "threshold")
    return kind._replace(**dict(zip(names, constants, strict=False)))


def every(kind: Neuron) -> Tensor:
    """Constants for `learnt`, a little different in each neuron."""
    numbers = [kind.decay, kind.threshold, *((kind.beta, kind.rho) if isinstance(kind, ALIF) else (0.3, 0.6))]
    return torch.tensor(numbers).unsqueeze(1) + 0.02 * torch.arange(N)


def loss(state: Any) -> Tensor:
    """Of every field, and not linear in any."""
    return sum((field * waves(*field.shape, seed=5 + i)).sum() + (field + i).square().cos().sum() for i, field in enumerate(state))


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the kernels' own source in Python instead of compiling it."""
    compiled = kernels.kernels

    def source(*kind: object) -> kernels.Kernels:
        return kernels.Kernels(*(dispatcher.py_func for dispatcher in compiled(*kind)))

    monkeypatch.setattr(kernels, "kernels", source)


def orders(kind: Neuron, kernel: str, x: Tensor, weight: Tensor, constants: Tensor | None) -> list[Any]:
    """State, gradient and the gradient of the gradient, with respect to current, weights and, where given, constants."""
    inputs = [part.clone().requires_grad_() for part in (x, weight, constants) if part is not None]
    used = kind if constants is None else learnt(kind, inputs[2])
    state = recurrent_scan(used, inputs[0], inputs[1], STEPS, kernel=kernel)
    first = torch.autograd.grad(loss(state), inputs, create_graph=True, materialize_grads=True)
    bent = sum((part * waves(*part.shape)).sum() + part.square().sum() for part in first)
    second = torch.autograd.grad(bent, inputs, materialize_grads=True)
    return [tuple(part.detach() for part in parts) for parts in (state, first, second)]


def same_as_reference(kind: Neuron) -> None:
    for rows, own in product((STEPS, 1), (False, True)):
        given = (currents(rows, 3, N), weights(), every(kind) if own else None)
        found, expected = (orders(kind, kernel, *given) for kernel in ("numba", "reference"))
        assert 10 < expected[0][1].sum() < STEPS * 3 * N - 5, "a silent or saturated network proves nothing"
        if not kind.surrogate.smooth:
            assert torch.equal(found[0][1], expected[0][1])
        torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(found[1:], expected[1:], **CLOSE)


@each(COMPILED)
def test_numba_equals_reference(kind: Neuron) -> None:
    same_as_reference(kind)


@pytest.mark.usefixtures("interpreted")
@each(ALL)
def test_the_source_of_every_kind_equals_reference(kind: Neuron) -> None:
    same_as_reference(kind)


@pytest.mark.parametrize("kernel", ["numba", "reference"])
@pytest.mark.parametrize("beta", [0.0, 0.3], ids=["lif", "alif"])
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "subtractive"])
def test_spikes_and_potentials_are_those_of_the_equation(kernel: str, beta: float, hard: bool) -> None:
    x, weight = currents(20, 5, N), weights()
    kind = ALIF(0.8, 0.7, beta, 0.9, hard) if beta else LIF(0.8, 0.7, hard)
    state = recurrent_scan(kind, x, weight, 20, kernel=kernel)
    for example in range(5):
        z, v = recurrent_lif(x[:, example].numpy(), weight.numpy(), 0.8, 0.7, beta, 0.9, hard)
        assert 10 < z.sum() < 70
        np.testing.assert_array_equal(state.z[:, example].numpy(), z)
        np.testing.assert_allclose(state.v[:, example].numpy(), v, rtol=1e-12, atol=1e-13)


@each(SMOOTH)
def test_first_and_second_derivatives_equal_finite_differences(kind: Neuron) -> None:
    inputs = [part.requires_grad_() for part in (currents(4, 2, N), weights(), every(kind))]

    def run(x: Tensor, weight: Tensor, constants: Tensor) -> tuple[Tensor, ...]:
        return tuple(recurrent_scan(learnt(kind, constants), x, weight, 4, kernel="numba"))

    torch.autograd.gradcheck(run, inputs)
    torch.autograd.gradgradcheck(run, inputs, fast_mode=True)


@each([COMPILED[0], COMPILED[3]])
@pytest.mark.parametrize("kernel", ["numba", "reference"])
def test_a_window_in_two_pieces_is_one_window(kind: Neuron, kernel: str) -> None:
    x, weight = currents(STEPS, 3, N).requires_grad_(), weights().requires_grad_()
    whole = recurrent_scan(kind, x, weight, STEPS, kernel=kernel)
    first = recurrent_scan(kind, x[:2], weight, 2, kernel=kernel)
    last = type(first)(*(field[-1] for field in first))
    second = recurrent_scan(kind, x[2:], weight, STEPS - 2, last, kernel)
    assert whole.z.sum() > 10
    tail = type(whole)(*(field[2:] for field in whole))
    torch.testing.assert_close(tuple(second), tuple(tail), rtol=1e-12, atol=1e-13)
    gradients = [torch.autograd.grad(loss(state), [x, weight], retain_graph=True) for state in (tail, second)]
    assert gradients[0][0][:2].abs().sum() > 0, "nothing flows back through the state"
    torch.testing.assert_close(gradients[0], gradients[1], **CLOSE)


@each(SMOOTH)
def test_derivatives_with_respect_to_an_initial_state_equal_finite_differences(kind: Neuron) -> None:
    state = [part.requires_grad_() for part in (torch.linspace(-0.5, 1.2, N), torch.linspace(0, 1, N), torch.linspace(0, 2, N))]
    state = state[: len(kind.rest(state[0]))]

    def run(*before: Tensor) -> tuple[Tensor, ...]:
        return tuple(recurrent_scan(kind, currents(3, N), weights(), 3, type(kind.rest(before[0]))(*before), "numba"))

    torch.autograd.gradcheck(run, state)
    torch.autograd.gradgradcheck(run, state, fast_mode=True)


def adapted(kind: Neuron, kernel: str, own: bool) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A loss after one step of descent on another: what a meta-gradient differentiates."""

    def inner(weight: Tensor, x: Tensor, constants: Tensor) -> Tensor:
        return loss(recurrent_scan(learnt(kind, constants) if own else kind, x, weight, STEPS, kernel=kernel))

    def outer(weight: Tensor, x: Tensor, constants: Tensor) -> Tensor:
        return inner(weight - 0.01 * torch.func.grad(inner)(weight, x, constants), x, constants)

    return outer


@each(COMPILED)
@pytest.mark.parametrize("shared", [(), (0,), (1,), (2,)], ids=["nothing", "weights", "currents", "constants"])
def test_grad_of_grad_under_vmap_equals_the_reference_one_by_one(kind: Neuron, shared: tuple[int, ...]) -> None:
    """Whatever is shared between the tasks."""
    tasks = [weights(3), currents(3, STEPS, 2, N), every(kind) + 0.05 * torch.arange(3).view(3, 1, 1)]
    given = [part[0] if i in shared else part for i, part in enumerate(tasks)]
    dims = tuple(None if i in shared else 0 for i in range(3))
    found = torch.func.vmap(torch.func.grad(adapted(kind, "numba", True), (0, 1, 2)), dims)(*given)
    one = torch.func.grad(adapted(kind, "reference", True), (0, 1, 2))
    each_task = [one(*(part if i in shared else part[task] for i, part in enumerate(given))) for task in range(3)]
    torch.testing.assert_close(found, tuple(torch.stack(parts) for parts in zip(*each_task, strict=True)), **CLOSE)


@each([COMPILED[0], COMPILED[3]])
@pytest.mark.parametrize("dims", [(0, 1), (None, 1), (0, None)])
def test_vmap_inside_vmap_equals_the_reference(kind: Neuron, dims: tuple[int | None, int | None]) -> None:
    weight, x, constants = weights(2), currents(2, STEPS, 3, N), every(kind)
    inner = torch.func.vmap(torch.func.grad(adapted(kind, "numba", False)), (None, 1, None))  # per-example gradients of shared weights
    given = [part if dim is not None else part[0] for part, dim in zip((weight, x.movedim(0, 1)), dims, strict=True)]
    if dims[1] is None:
        given[1] = x[0]
    found = torch.func.vmap(inner, (*dims, None))(*given, constants)
    one = torch.func.grad(adapted(kind, "reference", False))
    pairs = [(weight[i if dims[0] == 0 else 0], x[i if dims[1] == 1 else 0, :, j]) for i, j in product(range(2), range(3))]
    expected = torch.stack([one(*pair, constants) for pair in pairs]).unflatten(0, (2, 3))
    torch.testing.assert_close(found, expected, **CLOSE)


@each([COMPILED[1], COMPILED[2]])
def test_jacobian_and_hessian_by_vmapped_cotangents_equal_the_reference(kind: Neuron) -> None:
    x, constants = currents(3, 2, N), every(kind)
    results = []
    for kernel in ("numba", "reference"):

        def run(weight: Tensor, x: Tensor, kernel: str = kernel) -> tuple[Tensor, ...]:
            return tuple(recurrent_scan(learnt(kind, constants), x, weight, 3, kernel=kernel))

        jacobian = torch.func.jacrev(run, (0, 1))(weights(), x)
        hessian = torch.func.jacrev(torch.func.grad(lambda weight, x, run=run: loss(run(weight, x)), (0, 1)), (0, 1))(weights(), x)
        results.append((jacobian, hessian))
    torch.testing.assert_close(results[0], results[1], **CLOSE)


def test_float32_stays_float32_and_gives_the_same_spikes() -> None:
    x, weight = currents(50, 20, N).float(), weights().float()
    states = [recurrent_scan(COMPILED[3], x, weight, 50, kernel=kernel) for kernel in ("numba", "reference")]
    assert states[0].z.sum() > 500
    assert all(field.dtype == torch.float32 for field in states[0])
    assert torch.equal(states[0].z, states[1].z)


def test_no_weights_between_neurons_is_a_population_without_recurrence() -> None:
    x = currents(STEPS, 3, N)
    state = recurrent_scan(COMPILED[0], x, torch.zeros(N, N), STEPS)
    z, v = scan(COMPILED[0], x, STEPS)[:2]
    assert torch.equal(state.z, z)
    assert torch.equal(state.v, v)


def test_integrate_and_fire_is_fused_and_other_neurons_are_stepped() -> None:
    x, weight = currents(STEPS, 3, N), weights()
    fused, plain = (recurrent_scan(IF(0.8), x, weight, STEPS, kernel=kernel) for kernel in ("numba", "reference"))
    assert plain.z.sum() > 10
    torch.testing.assert_close(tuple(fused), tuple(plain), rtol=1e-12, atol=1e-13)
    slow = recurrent_scan(CurrentLIF(threshold=0.8), x, weight, STEPS)
    assert slow.z.sum() > 10
    with pytest.raises(UserError, match=r"recurrent CurrentLIF, expected reference, or numba .*: choose kernel auto"):
        recurrent_scan(CurrentLIF(), x, weight, STEPS, kernel="numba")


def test_a_window_of_one_step_and_an_example_without_batch_have_their_derivatives() -> None:
    for x in (currents(1, 3, N), currents(STEPS, N)):
        results = []
        for kernel in ("numba", "reference"):

            def outcome(weight: Tensor, x: Tensor, kernel: str = kernel) -> Tensor:
                return loss(recurrent_scan(COMPILED[3], x, weight, len(x), kernel=kernel))

            def bent(weight: Tensor, x: Tensor, outcome: Callable[[Tensor, Tensor], Tensor] = outcome) -> Tensor:
                return sum(part.square().sum() for part in torch.func.grad(outcome, (0, 1))(weight, x))

            results.append((torch.func.grad(outcome, (0, 1))(weights(), x), torch.func.grad(bent, (0, 1))(weights(), x)))
        torch.testing.assert_close(results[0], results[1], **CLOSE)


def test_a_third_derivative_is_refused_and_the_reference_has_it() -> None:
    def third(kernel: str) -> Tensor:
        def first(weight: Tensor) -> Tensor:
            return loss(recurrent_scan(COMPILED[0], currents(3, N), weight, 3, kernel=kernel))

        def second(weight: Tensor) -> Tensor:
            return torch.func.grad(first)(weight).square().sum()

        return torch.func.grad(lambda weight: torch.func.grad(second)(weight).square().sum())(weights())

    with pytest.raises(InternalError, match="kernel='reference'"):
        third("numba")
    assert torch.isfinite(third("reference")).all()


def test_a_current_of_another_length_is_refused() -> None:
    with pytest.raises(UserError, match="current with 4 time steps given, 1 or 6 expected"):
        recurrent_scan(COMPILED[0], currents(4, 3, N), weights(), STEPS)


def test_numbers_that_cannot_be_are_refused_by_name() -> None:
    x, weight = currents(STEPS, 3, N), weights()
    for neuron, words in ((LIF(decay=1.5), "decay = 1.5"), (LIF(threshold=-1.0), "threshold = -1.0")):
        with pytest.raises(UserError, match=words):
            recurrent_scan(neuron, x, weight, STEPS)
    with pytest.raises(UserError, match=r"current of shape .* with NaN"):
        recurrent_scan(LIF(), x * math.nan, weight, STEPS)
    with pytest.raises(UserError, match=r"kernel numba given for torch.float16"):
        recurrent_scan(LIF(), x.half(), weight.half(), STEPS, kernel="numba")
