"""Derivatives of every compiled window, by the current and by each constant: the reference, finite differences, vmap."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from neurometa.core.kernels import adaptive
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF, LeakyIntegrator
from neurometa.core.scan import states
from neurometa.core.surrogate import KINDS, Surrogate

STEPS, BATCH, SIZE = 5, 2, 3
CLOSE = {"rtol": 1e-10, "atol": 1e-11}
"""The same sums in another order."""

BUILD: dict[str, Callable[..., Any]] = {
    "if": lambda d, t, b, f, *kind: IF(t, *kind),
    "lif": lambda d, t, b, f, *kind: LIF(d, t, *kind),
    "current": lambda d, t, b, f, *kind: CurrentLIF(d, f, t, *kind),
    "alif": lambda d, t, b, f, *kind: ALIF(d, t, b, f, *kind),
    "integrator": lambda d, t, b, f, *kind: LeakyIntegrator(d),
}
NEURONS = pytest.mark.parametrize("name", BUILD)
COMPILED = {"hard": (True, True), "subtractive-cut": (False, False)}
INTERPRETED = {"hard-cut": (True, False), "subtractive": (False, True)}
SHAPES = {"shared": (), "own": (SIZE,), "each-example": (BATCH, SIZE)}


def named(surrogate: Surrogate) -> str:
    return f"{surrogate.kind}{'-smooth' if surrogate.smooth else ''}"


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the passes' own source in Python: to compile them for every surrogate would take minutes."""
    for name in ("lif", "alif"):
        compiled = getattr(adaptive, name)
        source = lambda *kind, of=compiled: adaptive.Passes(*(dispatcher.py_func for dispatcher in of(*kind)))  # noqa: E731
        monkeypatch.setattr(adaptive, name, source)


def inputs(shape: tuple[int, ...] = (SIZE,), steps: int = STEPS) -> list[Tensor]:
    """Current, decay, threshold, beta, and another decay."""
    g = torch.Generator().manual_seed(7)
    return [torch.randn(steps, BATCH, SIZE, generator=g) + 0.5] + [
        low + 0.4 * torch.rand(shape, generator=g) for low in (0.4, 0.5, 0.2, 0.3)
    ]


def loss(name: str, kernel: str, *kind: Any, some: slice = slice(None)) -> Callable[..., Tensor]:
    """A number that depends on every field of the states, and not linearly."""

    def of(x: Tensor, *constants: Tensor) -> Tensor:
        found = states(BUILD[name](*constants, *kind), x, STEPS, kernel=kernel)[some]
        weights = [(torch.arange(field.numel()) * 1.7 + i).sin().reshape(field.shape) for i, field in enumerate(found)]
        return sum(((field * weight).sum(0) ** 2).sum() for field, weight in zip(found, weights, strict=True))

    return of


def outer(inner: Callable[..., Tensor], arguments: tuple[int, ...] = (0, 1, 2, 3, 4)) -> Callable[..., Tensor]:
    """The loss after one step of descent on it, of the current and of the constants: what a meta-gradient differentiates."""

    def of(*inputs: Tensor) -> Tensor:
        gradients = torch.func.grad(inner, argnums=arguments)(*inputs)
        return inner(*(x - 0.05 * g for x, g in zip(inputs, gradients, strict=True)))

    return of


def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.func.grad(function, argnums=(0, 1, 2, 3, 4))(*inputs)


@NEURONS
@pytest.mark.parametrize("reset", COMPILED.values(), ids=COMPILED)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_gradients_and_meta_gradients_equal_the_reference(name: str, reset: tuple[bool, bool], shape: tuple[int, ...]) -> None:
    kind, given = (*reset, Surrogate("fast-sigmoid", 1.3)), inputs(shape)
    assert states(BUILD[name](*given[1:], *kind), given[0], STEPS).z.count_nonzero() > 5
    for order in (lambda f: f, outer):
        found, expected = (gradients(order(loss(name, kernel, *kind)), *given) for kernel in ("numba", "reference"))
        torch.testing.assert_close(found, expected, **CLOSE)
        assert found[0].abs().sum() > 0


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("name", ["lif", "alif"])
@pytest.mark.parametrize("reset", INTERPRETED.values(), ids=INTERPRETED)
@pytest.mark.parametrize("surrogate", [Surrogate(kind, 1.3, smooth) for kind, smooth in product(KINDS, (True, False))], ids=named)
def test_every_surrogate_has_the_reference_meta_gradient(name: str, reset: tuple[bool, bool], surrogate: Surrogate) -> None:
    given = inputs()
    found, expected = (gradients(outer(loss(name, kernel, *reset, surrogate)), *given) for kernel in ("numba", "reference"))
    torch.testing.assert_close(found, expected, **CLOSE)


@NEURONS
def test_a_cotangent_on_one_field_alone_is_enough(name: str) -> None:
    kind, given = (False, True, Surrogate()), inputs()
    fields = len(states(BUILD[name](*given[1:], *kind), given[0], STEPS))
    for i in range(fields):
        for order in (lambda f: f, outer):
            some = slice(i, i + 1)
            found, expected = (gradients(order(loss(name, k, *kind, some=some)), *given) for k in ("numba", "reference"))
            torch.testing.assert_close(found, expected, **CLOSE)


@NEURONS
@pytest.mark.parametrize("hard", [True, False], ids=["hard", "subtractive"])
def test_first_and_second_derivatives_equal_finite_differences(name: str, hard: bool) -> None:
    given = [x.requires_grad_() for x in (inputs(steps=3)[0][:, :1, :2], *(constant[:2] for constant in inputs()[1:]))]

    def run(x: Tensor, *constants: Tensor) -> tuple[Tensor, ...]:
        smooth = BUILD[name](*constants, hard, True, Surrogate("sigmoid", 1.3, smooth=True))
        return tuple(states(smooth, x, 3, kernel="numba"))

    used = {"if": (0, 2), "lif": (0, 1, 2), "current": (0, 1, 2, 4), "alif": (0, 1, 2, 3, 4), "integrator": (0, 1)}[name]
    rest = list(given)

    def of(*some: Tensor) -> tuple[Tensor, ...]:
        return run(*(some[used.index(i)] if i in used else rest[i].detach() for i in range(5)))

    some = [given[i].detach().requires_grad_() for i in used]
    torch.autograd.gradcheck(of, some)
    torch.autograd.gradgradcheck(of, some)


@NEURONS
@pytest.mark.parametrize("batched", [(0, 1, 2, 3, 4), (0,), (1, 4)], ids=["all", "current", "constants"])
def test_vmap_over_tasks_equals_a_loop_over_them(name: str, batched: tuple[int, ...]) -> None:
    kind, given = (True, True, Surrogate("fast-sigmoid", 1.3)), inputs()
    tasks = [[x * (1 + 0.1 * t) if i in batched else x for i, x in enumerate(given)] for t in range(3)]
    together = [torch.stack(xs) if i in batched else given[i] for i, xs in enumerate(zip(*tasks, strict=True))]
    dims = tuple(0 if i in batched else None for i in range(5))

    def meta(kernel: str) -> Callable[..., Any]:
        return lambda *inputs: gradients(outer(loss(name, kernel, *kind)), *inputs)

    found = torch.func.vmap(meta("numba"), in_dims=dims)(*together)
    expected = [torch.stack(parts) for parts in zip(*(meta("reference")(*task) for task in tasks), strict=True)]
    torch.testing.assert_close(list(found), expected, **CLOSE)


@NEURONS
def test_second_order_by_autograd_equals_that_by_functions(name: str) -> None:
    kind, given = (True, True, Surrogate("arctan", 1.3)), [x.requires_grad_() for x in inputs()]
    first = torch.autograd.grad(loss(name, "numba", *kind)(*given), given, create_graph=True, materialize_grads=True)
    found = torch.autograd.grad(sum(g.sin().sum() for g in first), given, materialize_grads=True)
    bent = lambda *xs: sum(g.sin().sum() for g in gradients(loss(name, "numba", *kind), *xs))  # noqa: E731
    torch.testing.assert_close(found, gradients(bent, *(x.detach() for x in given)), **CLOSE)


def test_windows_with_constants_of_their_own_have_third_derivatives() -> None:
    name, kind, given = "lif", (True, True, Surrogate("sigmoid", 1.3)), inputs()
    found, expected = (gradients(outer(outer(loss(name, kernel, *kind))), *given) for kernel in ("numba", "reference"))
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("name", ["lif", "current", "alif"])
def test_numbers_and_tensors_of_the_same_value_give_the_same_bits(name: str) -> None:
    x, numbers, kind = inputs()[0], (0.7, 0.8, 0.3, 0.6), (True, True, Surrogate())
    tensors = [torch.full((SIZE,), number) for number in numbers]
    plain, own = (states(BUILD[name](*constants, *kind), x, STEPS) for constants in (numbers, tensors))
    assert all(torch.equal(a, b) for a, b in zip(plain, own, strict=True))


@pytest.mark.parametrize("name", ["lif", "current", "alif"])
def test_any_layout_gives_the_same_numbers(name: str) -> None:
    g = torch.Generator().manual_seed(2)
    plain = torch.randn(STEPS, 2, 3, 4, 5, generator=g) + 0.5
    constants = [0.4 + 0.4 * torch.rand(3, 1, 1, generator=g) for _ in range(4)]
    turned = plain.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    results = [
        torch.func.grad(lambda x, k=kernel: loss(name, k, True, True, Surrogate())(x, *constants))(x)
        for x, kernel in ((plain, "numba"), (turned, "numba"), (plain, "reference"))
    ]
    torch.testing.assert_close(results[0], results[2], **CLOSE)
    torch.testing.assert_close(results[1], results[0], rtol=1e-13, atol=1e-14)
