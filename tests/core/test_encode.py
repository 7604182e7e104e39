"""Encoders: what the network is shown stands for the value."""

import numpy as np
import pytest
import torch
from snntorch import spikegen

from neurometa.core.encode import Delta, Direct, Latency, Population, Rate, TauLatency
from neurometa.errors import UserError


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


LATENCIES = [
    TauLatency(20),
    TauLatency(20, tau=3.0),
    TauLatency(8, tau=5.0, threshold=0.2),
    TauLatency(20, tau=2.0, first=4),
    TauLatency(20, clip=True, threshold=0.3),
    TauLatency(20, linear=True, tau=15.0),
    TauLatency(6, linear=True, tau=15.0, threshold=0.1),
    TauLatency(20, linear=True, normalise=True),
    TauLatency(20, linear=True, normalise=True, first=5, threshold=0.1),
    TauLatency(20, normalise=True),
    TauLatency(20, normalise=True, first=3, tau=2.0, threshold=0.05, clip=True),
]


def spikegens(code: TauLatency, x: torch.Tensor) -> torch.Tensor:
    words = {"tau": code.tau, "threshold": code.threshold, "first_spike_time": code.first, "normalize": code.normalise}
    return spikegen.latency(x, code.steps, linear=code.linear, clip=code.clip, bypass=True, **words)


@pytest.mark.parametrize("code", LATENCIES, ids=str)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_latency_code_of_a_batch_with_a_black_value_is_spikegens_exactly(code: TauLatency, kind: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.cat([torch.tensor([0.0, 1.0, 0.5, 0.01, code.threshold]), torch.rand(400, generator=generator)]).to(kind)
    spikes = code.encode(x, generator)
    assert spikes.sum() > 100
    assert torch.equal(spikes, spikegens(code, x).to(kind))


@pytest.mark.parametrize("code", [code for code in LATENCIES if code.linear or not code.normalise], ids=str)
def test_a_latency_code_that_looks_at_no_neighbour_is_spikegens_exactly_on_any_batch(code: TauLatency) -> None:
    x = 0.3 + 0.6 * torch.rand(5, 30, generator=torch.Generator().manual_seed(1))
    assert torch.equal(code.encode(x, torch.Generator()), spikegens(code, x).to(x))


@pytest.mark.parametrize("code", LATENCIES, ids=str)
def test_a_latency_code_does_not_depend_on_the_rest_of_the_batch(code: TauLatency, generator: torch.Generator) -> None:
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([code.encode(x[i : i + 1], generator) for i in range(6)], dim=1)
    assert torch.equal(code.encode(x, generator), alone)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_latency_code_of_values_outside_0_to_1_is_refused(value: float, generator: torch.Generator) -> None:
    with pytest.raises(UserError, match="given, 0 to 1 expected by a latency code"):
        TauLatency(5).encode(torch.tensor([0.5, value]), generator)


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize("padding", [False, True])
def test_events_of_a_sweep_are_spikegens_along_the_last_axis(off: bool, padding: bool, generator: torch.Generator) -> None:
    x = torch.randint(0, 5, (3, 1, 4, 6), generator=generator) / 4
    events = Delta(0.25, off, padding).encode(x, generator)
    assert events.shape == (6, 3, 1, 4, 1)
    expected = spikegen.delta(x.movedim(-1, 0), threshold=0.25, off_spike=off, padding=padding)
    assert torch.equal(events.squeeze(-1), expected)
    assert set(events.unique().tolist()) == ({-1, 0, 1} if off else {0, 1})


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.4, 0.0), (0.7, 0.1)])
def test_rate_spikes_have_the_law_of_spikegens(gain: float, offset: float, generator: torch.Generator) -> None:
    x = torch.linspace(0, 1, 9)
    ours, theirs = Rate(20000, gain, offset).encode(x, generator), spikegen.rate(x, num_steps=20000, gain=gain, offset=offset)
    chance = gain * x + offset
    for spikes in (ours, theirs.to(x)):
        assert ((spikes.mean(0) - chance).abs() <= 5 * (chance * (1 - chance) / 20000).sqrt()).all(), "more than five standard errors off"
        assert set(spikes.unique().tolist()) == {0, 1}


def test_no_encoder_touches_the_global_generator(generator: torch.Generator) -> None:
    before = torch.get_rng_state()
    for encoder in (Rate(5), TauLatency(5), Delta(), Latency(5)):
        encoder.encode(torch.rand(2, 1, 3, 3, generator=generator), generator)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_population_tells_a_number_by_the_neurons_that_prefer_it() -> None:
    encoder = Population(4, neurons=11, low=-5.0, high=5.0, width=0.5, gain=2.0)
    x = torch.tensor([[-5.0], [0.0], [2.5]])
    shown = encoder.encode(x, torch.Generator())
    expected = [[2 * np.exp(-((a - c) ** 2) / (2 * 0.5**2)) for c in np.linspace(-5, 5, 11)] for a in (-5.0, 0.0, 2.5)]
    np.testing.assert_allclose(shown.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert encoder.fixed
    assert shown[0].argmax() == 0
    assert shown[1].argmax() == 5
