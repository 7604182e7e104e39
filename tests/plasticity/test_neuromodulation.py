"""The third factor: what it lets through, to whom, and how far back it reaches."""

import torch

from neurometa.plasticity.neuromodulation import at_rest, gate, gate_slow, modulated


def test_without_a_third_factor_nothing_changes_but_the_coincidence_is_remembered() -> None:
    start = at_rest(torch.ones(2, 3))
    after = modulated(start, torch.full((2, 3), 0.5), 0.0, keep=0.9)
    assert torch.equal(after.weight, start.weight)
    assert torch.equal(after.eligibility, torch.full((2, 3), 0.5))
    rewarded = modulated(after, torch.zeros(2, 3), 2.0, keep=0.9)
    torch.testing.assert_close(rewarded.weight, torch.full((2, 3), 1 + 2 * 0.9 * 0.5))
    forgotten = modulated(after, torch.zeros(2, 3), 2.0, keep=0.0)
    assert torch.equal(forgotten.weight, start.weight), "without a trace the past is lost"


def test_a_third_factor_of_each_neuron_moves_its_own_synapses_alone() -> None:
    after = modulated(at_rest(torch.zeros(2, 3)), torch.ones(2, 3), torch.tensor([[0.0], [3.0]]))
    assert after.weight.tolist() == [[0.0] * 3, [3.0] * 3]


def test_a_new_gate_lets_every_coincidence_count_once_and_follows_its_weights() -> None:
    pre = torch.tensor([1.0, -2.0])
    slow = gate_slow("gate", 2)
    assert float(gate(slow, "gate", pre)) == 1.0
    slow["gate.weight"] = torch.tensor([30.0, 0.0])
    assert float(gate(slow, "gate", pre)) > 1.99
    assert float(gate(slow, "gate", -pre)) < 0.01
