"""One step of the neuron against the equation."""

import numpy as np
import pytest
import torch

from neurometa.core.kernels import reference
from neurometa.core.neuron import LIF, LIFState, carry, lif_step
from neurometa.core.scan import scan
from neurometa.core.surrogate import KINDS, Surrogate
from tests import oracles

CURRENT = np.random.default_rng(1).normal(0.4, 1.0, (12, 9))
RESETS = pytest.mark.parametrize("hard", [True, False], ids=["hard", "subtractive"])


@RESETS
@pytest.mark.parametrize("kernel", ["reference", "numba"])
@pytest.mark.parametrize("decay", [0.0, 0.8, 1.0])
def test_spikes_and_potentials_equal_the_equation(hard: bool, kernel: str, decay: float) -> None:
    z, v = scan(LIF(decay, 0.9, hard), torch.tensor(CURRENT), 12, kernel=kernel)
    expected_z, expected_v = oracles.lif(CURRENT, decay, 0.9, hard)
    assert 10 < expected_z.sum() < expected_z.size
    np.testing.assert_array_equal(z.numpy(), expected_z)
    np.testing.assert_allclose(v.numpy(), expected_v, rtol=1e-14, atol=1e-14)


@RESETS
@pytest.mark.parametrize("through_reset", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_gradient_equals_sensitivities_carried_forward(hard: bool, through_reset: bool, kind: str) -> None:
    rng = np.random.default_rng(2)
    gz, gv = rng.normal(size=(2, *CURRENT.shape))
    current = torch.tensor(CURRENT, requires_grad=True)
    z, v = reference.scan(LIF(0.8, 0.9, hard, through_reset, Surrogate(kind, 2.0)), current, 12)
    (gradient,) = torch.autograd.grad([z, v], current, [torch.tensor(gz), torch.tensor(gv)])
    dz, dv = oracles.lif_jacobian(CURRENT, 0.8, 0.9, hard, through_reset, kind, 2.0)
    expected = np.einsum("tn,tsn->sn", gz, dz) + np.einsum("tn,tsn->sn", gv, dv)
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-11, atol=1e-12)


def test_a_hard_reset_forgets_and_a_subtractive_one_keeps_the_excess() -> None:
    state = LIFState(torch.tensor([2.5, 0.5]), torch.tensor([1.0, 0.0]))
    assert carry(LIF(0.5, 1.0, hard_reset=True), state).tolist() == [0.0, 0.25]
    assert carry(LIF(0.5, 1.0, hard_reset=False), state).tolist() == [0.25, 0.25]


def test_a_potential_at_the_threshold_does_not_fire() -> None:
    rest = LIFState(torch.zeros(2), torch.zeros(2))
    assert lif_step(LIF(threshold=1.0), rest, torch.tensor([1.0, 1.0 + 2**-50])).z.tolist() == [0, 1]


def test_without_reset_gradient_a_spike_sends_nothing_through_its_reset() -> None:
    z = torch.ones(1, requires_grad=True)
    assert not carry(LIF(reset_gradient=False), LIFState(torch.ones(1), z)).requires_grad
    assert carry(LIF(reset_gradient=True), LIFState(torch.ones(1), z)).requires_grad
