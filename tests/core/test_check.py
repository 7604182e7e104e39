"""What the simulator refuses, in one line that says what was given and what was expected."""

import math
from typing import Any

import pytest
import torch

from neurometa.core.check import check_finite
from neurometa.core.layer import Spiking
from neurometa.core.network import mlp_network
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF, LIFState, RefractoryLIF, SigmaDelta
from neurometa.core.scan import scan
from neurometa.errors import NeurometaError, UserError

X = torch.ones(4, 2, 3, dtype=torch.float64)
NAN = torch.tensor(float("nan"), dtype=torch.float64)
OWN = torch.tensor([0.5, 0.6, 1.5], dtype=torch.float64)

BAD: list[tuple[str, Any, Any, int, Any, str]] = [
    ("decay above 1", LIF(1.5), X, 4, None, r"LIF with decay = 1.5 given, a number from 0 to 1 expected"),
    ("decay below 0", CurrentLIF(0.5, -0.1), X, 4, None, r"current_decay = -0.1 given"),
    ("decay nan", LIF(float("nan")), X, 4, None, r"decay = nan given"),
    ("own decay", LIF(OWN), X, 4, None, r"decay = 1.5 given"),
    ("own decay below", LIF(OWN - 0.7), X, 4, None, r"decay = -0.19\d* given"),
    ("own decay nan", LIF(NAN), X, 4, None, r"decay = nan given"),
    ("threshold", IF(-1.0), X, 4, None, r"IF with threshold = -1.0 given, a number of at least 0 expected"),
    ("beta", ALIF(beta=-0.2), X, 4, None, r"beta = -0.2"),
    ("refractory", RefractoryLIF(refractory=-1), X, 4, None, r"refractory = -1"),
    ("message", SigmaDelta(-0.1), X, 4, None, r"SigmaDelta with threshold = -0.1"),
    ("no steps", LIF(), X[:0], 0, None, r"0 time steps given, at least 1 expected"),
    ("no batch", LIF(), X[:, :0], 4, None, r"current of shape \(4, 0, 3\) given, at least one"),
    ("whole numbers", LIF(), X.long(), 4, None, r"current of type torch.int64 given, a floating-point tensor expected"),
    ("nan", LIF(), torch.where(torch.arange(3) == 1, NAN, X), 4, None, r"current of shape \(4, 2, 3\) with NaN or infinite values"),
    ("rows", LIF(), X, 9, None, r"4 time steps given, 1 or 9 expected"),
    ("constant's shape", LIF(torch.full((5,), 0.5, dtype=torch.float64)), X, 4, None, r"decay of shape \(5,\) .* broadcasts to \(2, 3\)"),
    ("constant's type", LIF(torch.full((3,), 0.5, dtype=torch.float32)), X, 4, None, r"torch.float32 given, torch.float64 expected"),
    ("state's shape", LIF(), X, 4, LIFState(X[0, :1], X[0, :1]), r"state with v of shape \(1, 3\) given, \(2, 3\) expected"),
    ("state's neuron", ALIF(), X, 4, LIFState(X[0], X[0]), r"state LIFState given to ALIF, ALIFState expected"),
]


@pytest.mark.parametrize(("neuron", "current", "steps", "state", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_mistake_is_named_with_what_was_given_and_expected(neuron: Any, current: Any, steps: int, state: Any, message: str) -> None:
    with pytest.raises(NeurometaError, match=message):
        scan(neuron, current, steps, state)


@pytest.mark.parametrize(("kernel", "kind"), [("cobol", torch.float64), ("numba", torch.bfloat16)])
def test_a_kernel_that_cannot_run_this_is_refused(kernel: str, kind: torch.dtype) -> None:
    with pytest.raises(UserError, match=f"kernel '?{kernel}'? (is not known|given for torch.bfloat16)"):
        scan(LIF(), X.to(kind), 4, kernel=kernel)


def test_a_network_refuses_constants_out_of_range_when_it_is_built() -> None:
    with pytest.raises(UserError, match=r"decay = 2.0 given"):
        mlp_network((3,), (4,), neuron=LIF(2.0), steps=3, outputs=2)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[:, :, :2], r"input of shape \(4, 2, 2\) given"),
        (X[:, :0], r"input of shape \(4, 0, 3\) given, at least one"),
        (X[:0], r"input of shape \(0, 2, 3\) given, at least one"),
        (X.bool(), r"input of type torch.bool given"),
        (X * NAN, r"input of shape \(4, 2, 3\) with NaN"),
        (X / 0, r"input of shape \(4, 2, 3\) with NaN or infinite"),
    ],
)
def test_a_network_refuses_an_input_that_it_could_not_see(x: torch.Tensor, message: str) -> None:
    network = mlp_network((3,), (4,), neuron=LIF(), steps=3, outputs=2)
    with pytest.raises(UserError, match=message):
        network.signal(x)


def test_a_layer_refuses_a_state_of_another_neuron() -> None:
    from neurometa.types import Signal

    with pytest.raises(UserError, match="state with v, z given to ALIF, v, z, a expected"):
        Spiking(ALIF(), 4).apply({}, Signal(X, True), {"v": X[0], "z": X[0]})


def test_under_vmap_numbers_are_not_looked_at_and_shapes_are() -> None:
    z = torch.func.vmap(lambda x, d: scan(LIF(d), x, 4)[0], in_dims=(1, 0))(X, torch.tensor([0.5, 0.9], dtype=torch.float64))
    assert z.shape == (2, 4, 3)
    with pytest.raises(UserError, match="0 time steps"):
        torch.func.vmap(lambda x: scan(LIF(), x, 0)[0], in_dims=1)(X)


def test_finite_numbers_whose_sum_overflows_are_accepted() -> None:
    check_finite("input", torch.full((2, 2, 2), 3e38))
    check_finite("input", torch.ones(300, 300).half())
    with pytest.raises(UserError, match="NaN or infinite"):
        check_finite("input", torch.tensor([3e38, 3e38, math.inf]))


def test_a_state_of_another_type_is_refused() -> None:
    state = LIF().rest(torch.zeros(4, dtype=torch.float32))
    with pytest.raises(UserError, match=r"state with v of type torch.float32 given, torch.float64 expected"):
        scan(LIF(), torch.zeros(5, 4, dtype=torch.float64), 5, state)
