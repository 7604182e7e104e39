"""Every neuron against its equation, continued from its state, and used through the one interface."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neurometa.core.compiled.windows import COMPILED
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF, LeakyIntegrator, RefractoryLIF, SigmaDelta
from neurometa.core.scan import kernel_for, scan, states
from neurometa.core.surrogate import Surrogate
from neurometa.errors import UserError
from tests import oracles

RNG = np.random.default_rng(5)
STEPS, BATCH, SIZE = 14, 3, 5
CURRENT = RNG.normal(0.4, 1.0, (STEPS, BATCH, SIZE))
DECAY, FAST, THRESHOLD, BETA = (RNG.uniform(low, high, SIZE) for low, high in ((0.3, 0.95), (0.2, 0.8), (0.5, 1.1), (0.1, 0.9)))
D, F, T, B = (torch.tensor(constant) for constant in (DECAY, FAST, THRESHOLD, BETA))
RESETS = pytest.mark.parametrize("hard", [True, False], ids=["hard", "subtractive"])
KERNELS = pytest.mark.parametrize("kernel", ["reference", "numba"])

EVERY: dict[str, Any] = {
    "if": IF(0.9),
    "if-subtractive": IF(0.9, hard_reset=False),
    "lif": LIF(0.7, 0.8),
    "lif-own": LIF(D, T, hard_reset=False),
    "current": CurrentLIF(0.7, 0.4, 0.9),
    "current-own": CurrentLIF(D, F, T),
    "alif": ALIF(0.7, 0.6, 0.3, 0.9),
    "alif-own": ALIF(D, T, B, F, hard_reset=False),
    "refractory": RefractoryLIF(0.7, 0.6, 2),
    "refractory-own": RefractoryLIF(D, T, 1, hard_reset=False),
    "integrator": LeakyIntegrator(0.8),
    "integrator-own": LeakyIntegrator(D),
    "sigma-delta": SigmaDelta(0.3),
}
EACH = pytest.mark.parametrize("neuron", EVERY.values(), ids=EVERY)


def kernels(neuron: Any) -> list[str]:
    return ["reference", "numba"] if type(neuron) in COMPILED else ["reference"]


def fired(z: np.ndarray) -> None:
    assert 0.05 < (z != 0).mean() < 0.95, "a silent or saturated population proves nothing"


def same(found: Any, *expected: tuple[str, np.ndarray]) -> None:
    for field, oracle in expected:
        exact = field == "z" and set(np.unique(oracle)) <= {0.0, 1.0}
        np.testing.assert_allclose(getattr(found, field).numpy(), oracle, rtol=0 if exact else 1e-12, atol=0 if exact else 1e-12)


@RESETS
@KERNELS
def test_if_equals_the_equation(hard: bool, kernel: str) -> None:
    z, v = oracles.lif(CURRENT, 1.0, THRESHOLD, hard)  # type: ignore[arg-type]
    fired(z)
    same(states(IF(T, hard), torch.tensor(CURRENT), STEPS, kernel=kernel), ("z", z), ("v", v))


@RESETS
@KERNELS
def test_lif_with_constants_of_each_neurons_own_equals_the_equation(hard: bool, kernel: str) -> None:
    z, v = oracles.lif(CURRENT, DECAY, THRESHOLD, hard)  # type: ignore[arg-type]
    fired(z)
    same(states(LIF(D, T, hard), torch.tensor(CURRENT), STEPS, kernel=kernel), ("z", z), ("v", v))


@RESETS
@KERNELS
@pytest.mark.parametrize("own", [True, False], ids=["own", "shared"])
def test_current_lif_equals_the_equation(hard: bool, kernel: str, own: bool) -> None:
    decay, fast, threshold = (DECAY, FAST, THRESHOLD) if own else (0.7, 0.4, 0.9)
    i = oracles.low_pass(CURRENT, fast)  # type: ignore[arg-type]
    z, v = oracles.lif(i, decay, threshold, hard)  # type: ignore[arg-type]
    fired(z)
    neuron = CurrentLIF(D, F, T, hard) if own else CurrentLIF(0.7, 0.4, 0.9, hard)
    same(states(neuron, torch.tensor(CURRENT), STEPS, kernel=kernel), ("z", z), ("v", v), ("i", i))


@RESETS
@KERNELS
@pytest.mark.parametrize("own", [True, False], ids=["own", "shared"])
def test_alif_equals_the_equation(hard: bool, kernel: str, own: bool) -> None:
    constants = (DECAY, THRESHOLD, BETA, FAST) if own else tuple(np.full(SIZE, c) for c in (0.7, 0.6, 0.3, 0.9))
    z, v, a = oracles.alif(CURRENT, *constants, hard)
    fired(z)
    neuron = ALIF(D, T, B, F, hard) if own else ALIF(0.7, 0.6, 0.3, 0.9, hard)
    same(states(neuron, torch.tensor(CURRENT), STEPS, kernel=kernel), ("z", z), ("v", v), ("a", a))


@RESETS
@pytest.mark.parametrize("rest", [0, 1, 3])
def test_refractory_lif_equals_the_equation(hard: bool, rest: int) -> None:
    flat = CURRENT.reshape(STEPS, -1)
    z, v = oracles.refractory_lif(flat, 0.8, 0.7, rest, hard)
    fired(z)
    found = states(RefractoryLIF(0.8, 0.7, rest, hard), torch.tensor(flat), STEPS)
    same(found, ("z", z), ("v", v))
    if rest == 0:
        assert torch.equal(found.z, scan(LIF(0.8, 0.7, hard), torch.tensor(flat), STEPS)[0])


@KERNELS
def test_the_integrator_equals_the_equation_and_its_mean_is_the_time_average(kernel: str) -> None:
    found = states(LeakyIntegrator(D), torch.tensor(CURRENT), STEPS, kernel=kernel)
    u = oracles.low_pass((1 - DECAY) * CURRENT, DECAY)
    same(found, ("v", u), ("z", u))
    np.testing.assert_allclose(found.v.mean(0).numpy(), oracles.leaky_mean(CURRENT, DECAY), rtol=1e-12, atol=1e-12)  # type: ignore[arg-type]


def test_sigma_delta_equals_the_equation() -> None:
    z, sent = oracles.sigma_delta(CURRENT, 0.5)
    fired(z)
    assert (z < 0).any()
    same(states(SigmaDelta(0.5), torch.tensor(CURRENT), STEPS), ("z", z), ("sent", sent), ("v", CURRENT))


def test_sigma_delta_without_threshold_is_a_rectified_unit_and_has_its_gradient_with_one() -> None:
    x = torch.tensor(CURRENT, requires_grad=True)
    exact = SigmaDelta(0.0)
    torch.testing.assert_close(exact.output(states(exact, x, STEPS)), x.relu(), rtol=1e-13, atol=1e-14)
    weights = torch.arange(x.numel()).cos().reshape(x.shape)
    (gradient,) = torch.autograd.grad((SigmaDelta(0.5).output(states(SigmaDelta(0.5), x, STEPS)) * weights).sum(), x)
    torch.testing.assert_close(gradient, weights * (x > 0), rtol=1e-12, atol=1e-13)


@EACH
@pytest.mark.parametrize("at", [1, 5])
def test_a_window_in_two_pieces_is_one_window(neuron: Any, at: int) -> None:
    for kernel in kernels(neuron):
        x = torch.tensor(CURRENT, requires_grad=True)
        whole = states(neuron, x, STEPS, kernel=kernel)
        assert whole.z.count_nonzero() > 10
        first = states(neuron, x[:at], at, kernel=kernel)
        second = states(neuron, x[at:], STEPS - at, type(first)(*(field[-1] for field in first)), kernel)
        for field, a, b in zip(whole, first, second, strict=True):
            assert torch.equal(torch.cat([a, b]), field)
        gradients = [torch.autograd.grad(sum(f.sin().sum() for f in part), x)[0] for part in ([f[at:] for f in whole], second)]
        torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-11, atol=1e-12)


@EACH
def test_a_held_current_is_the_same_current_at_every_step(neuron: Any) -> None:
    x = torch.tensor(CURRENT[:1] + 0.6)
    for kernel in kernels(neuron):
        held, repeated = (states(neuron, shown, STEPS, kernel=kernel) for shown in (x, x.repeat(STEPS, 1, 1)))
        assert held.z.any()
        torch.testing.assert_close(held, repeated, rtol=0, atol=0)


@EACH
def test_the_step_function_by_itself_is_the_scan(neuron: Any) -> None:
    state = neuron.rest(torch.tensor(CURRENT[0]))
    assert type(state)._fields[:2] == ("v", "z")
    found = []
    for x in torch.tensor(CURRENT):
        state = neuron.step(state, x)
        found.append(state.z)
    for kernel in kernels(neuron):
        assert torch.equal(torch.stack(found), states(neuron, torch.tensor(CURRENT), STEPS, kernel=kernel).z)


@EACH
def test_float32_stays_float32_and_spikes_as_the_reference_does(neuron: Any) -> None:
    def single(value: Any) -> Any:
        return value.float() if isinstance(value, Tensor) else value

    neuron = neuron._replace(**{name: single(getattr(neuron, name)) for name in neuron._fields})
    x = torch.tensor(CURRENT, dtype=torch.float32)
    expected = states(neuron, x, STEPS, kernel="reference")
    assert {field.dtype for field in expected} == {torch.float32}
    torch.testing.assert_close(states(neuron, x, STEPS), expected, rtol=0, atol=0)


@EACH
def test_the_kernel_of_each_neuron_is_known_and_never_silently_another(neuron: Any) -> None:
    x = torch.tensor(CURRENT)
    if "numba" in kernels(neuron):
        assert kernel_for(x, neuron) == "numba"
    else:
        assert kernel_for(x, neuron) == "reference"
        with pytest.raises(UserError, match=f"kernel 'numba' asked for {type(neuron).__name__}"):
            scan(neuron, x, STEPS, kernel="numba")


@pytest.mark.parametrize("cut", [True, False])
def test_the_reset_cut_leaves_the_adaptation_its_gradient(cut: bool) -> None:
    state = ALIF().rest(torch.zeros(1))._replace(v=torch.ones(1), z=torch.ones(1, requires_grad=True))
    after = ALIF(reset_gradient=not cut, surrogate=Surrogate(smooth=True)).step(state, torch.ones(1))
    assert after.a.requires_grad
    assert after.v.requires_grad == (not cut)
