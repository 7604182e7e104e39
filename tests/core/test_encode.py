"""Encoders: what the network is shown stands for the value."""

import pytest
import torch

from neurometa.core.encode import Direct, Latency, Rate


def test_direct_encoding_shows_the_value_itself(generator: torch.Generator) -> None:
    x = torch.rand(3, 4)
    before = generator.get_state()
    assert Direct(5).encode(x, generator) is x
    assert torch.equal(generator.get_state(), before), "nothing is drawn"


@pytest.mark.parametrize("gain", [1.0, 0.4])
def test_the_mean_rate_is_gain_times_the_value(gain: float, generator: torch.Generator) -> None:
    x = torch.linspace(0, 1, 9).repeat(50, 1)
    spikes = Rate(400, gain).encode(x, generator)
    assert spikes.shape == (400, 50, 9)
    assert set(spikes.unique().tolist()) == {0, 1}
    expected = gain * x[0]
    error = (spikes.mean((0, 1)) - expected).abs()
    assert (error <= 5 * (expected * (1 - expected) / 20000).sqrt()).all(), "more than five standard errors off"


def test_rate_spikes_are_independent_in_time_and_between_pixels(generator: torch.Generator) -> None:
    spikes = Rate(5000).encode(torch.full((2,), 0.5), generator)
    assert abs(float(torch.corrcoef(spikes.T)[0, 1])) < 0.06  # four standard errors
    assert abs(float(torch.corrcoef(torch.stack([spikes[1:, 0], spikes[:-1, 0]]))[0, 1])) < 0.06


def test_a_certain_value_always_spikes_and_none_never(generator: torch.Generator) -> None:
    spikes = Rate(500).encode(torch.tensor([0.0, 1.0]), generator)
    assert spikes.sum(0).tolist() == [0, 500]


@pytest.mark.parametrize("encoder", [Rate(20), Latency(20), Direct(20)])
def test_the_same_generator_state_gives_the_same_spikes(encoder: Rate | Latency | Direct) -> None:
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(9))
    one, two = (encoder.encode(x, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)
    other = encoder.encode(x, torch.Generator().manual_seed(6))
    assert torch.equal(one, other) == encoder.fixed


def test_every_positive_value_spikes_once_and_brighter_is_not_later(generator: torch.Generator) -> None:
    x = torch.tensor([0.0, 1e-6, 0.1, 0.49, 0.51, 0.9, 1.0])
    spikes = Latency(10).encode(x, generator)
    assert spikes.sum(0).tolist() == [0, 1, 1, 1, 1, 1, 1]
    at = spikes[:, 1:].argmax(0)
    assert (at.diff() <= 0).all()
    assert at.tolist() == [9, 8, 5, 4, 1, 0]


def test_latency_of_one_step_is_a_threshold_at_zero(generator: torch.Generator) -> None:
    assert Latency(1).encode(torch.tensor([[0.0, 0.2, 1.0]]), generator).tolist() == [[[0, 1, 1]]]


@pytest.mark.parametrize("encoder", [Rate(4), Latency(4), Direct(4)])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_the_number_type_of_the_input_is_kept(encoder: Rate | Latency | Direct, kind: torch.dtype, generator: torch.Generator) -> None:
    assert encoder.encode(torch.rand(3).to(kind), generator).dtype == kind
