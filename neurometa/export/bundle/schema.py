"""What a bundle says: populations, synapses between them, and where the answer is read; every number within what Loihi can hold."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Size = Annotated[int, Meta(ge=1, le=1 << 24)]
Shape = Annotated[tuple[Size, ...], Meta(min_length=1, max_length=3)]
Decay = Annotated[int, Meta(ge=0, le=4095)]
Threshold = Annotated[int, Meta(ge=0, le=131071)]
Exponent = Annotated[int, Meta(ge=-8, le=7)]
Impulse = Annotated[int, Meta(ge=0, le=127)]
Tau = Annotated[float, Meta(ge=0, le=1e9)]

INPUT = "input"
"""Name of what feeds the network."""

LINES = "lines"
"""Name of the further lines of the input, by which a host tells the chip more than what is shown: see `Network.lines`."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class Input(_Strict, frozen=True):
    """What comes in.

    Attributes:
        shape: of one example, without time and batch.
        kind: "spikes", one bit a time step; or "bias", for which each example brings the bias mantissas of the population `target`.
        target: see kind.
    """

    shape: Shape
    kind: Literal["spikes", "bias"] = "spikes"
    target: str = ""


class Modulation(_Strict, frozen=True):
    """What neurons send to the synapses that learn, beside their spikes: three values of 0..127 a step, named y1, y2, y3 in the rules.

    Attributes:
        y1: "surrogate": `height` while the potential before its reset is nearer than `width` to the threshold; or "trace" of own spikes.
        height: see y1; or what a spike adds to the trace, which saturates at 127.
        width: see y1, in units of the threshold.
        decay: of the trace, over 4096.
        signal: name of the input that brings each neuron a signed third factor, "" for none. What synapses bring whose `to` is "signal"
            is added; the sum, clipped to -127..127, is s.
        third: what L is; y2 = max(0, -L), y3 = max(0, L). "arriving": s. The others take from s what the neuron is to say, 1 where s > 0
            and 0 where s < 0, and from its current u what it says, y = sigmoid(x) by four straight lines, with
            1024 x = offset + (slope (u >> 6) >> shift); nothing is learnt where s = 0. "error": L = 64 ([s > 0] - y);
            "trigger": L = 256 sign(e) y (1 - y) where 64 |e| > least, e being that error, else 0.
        offset, slope, shift, least: see there.
    """

    y1: Literal["surrogate", "trace"]
    signal: Annotated[str, Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?\Z")] = ""
    height: Impulse = 1
    width: Threshold = 0
    decay: Decay = 0
    third: Literal["arriving", "error", "trigger"] = "arriving"
    offset: Annotated[int, Meta(ge=-(1 << 15), lt=1 << 15)] = 0
    slope: Decay = 0
    shift: Annotated[int, Meta(ge=0, le=24)] = 0
    least: Annotated[int, Meta(ge=0, le=64)] = 0


class Population(_Strict, frozen=True):
    """Neurons, u and v being 24-bit integers; `emulator.py` has the equation.

    Attributes:
        name: of the population.
        shape: (n,) or (channels, height, width).
        du, dv: decays of current and potential over 4096 (12 bits; of du, one less); a name is that of an array, one value a neuron.
        vth: threshold (17 bits); or the name of an array.
        bias: name of an array of mantissas (13 bits, signed), "" for none.
        bias_exp: exponent of the bias.
        onset: time step, counted from 0, before which the state is set to zero: when the first input arrives here.
        interval: it is set to zero every so many steps before and after that too, 0 for never: the next example begins.
        modulation: what the neurons send to rules with a third factor, None for nothing.
        start: potential at the very beginning; far below zero, it keeps a bias from making spikes before the onset.
        da: decay of the threshold's adaptation over 4096; or the name of an array.
        beta: by how much a spike raises the threshold, in its units; or the name of an array. 0 for a threshold that stays, the neuron of
            Loihi 1 and stock Lava; any other takes a neuron of one's own.
    """

    name: Name
    shape: Shape
    du: Decay | Name
    dv: Decay | Name
    vth: Threshold | Name
    bias: str = ""
    bias_exp: Annotated[int, Meta(ge=0, le=7)] = 0
    onset: Annotated[int, Meta(ge=0, le=4096)] = 0
    start: Annotated[int, Meta(gt=-(1 << 23), lt=1 << 23)] = 0
    modulation: Modulation | None = None
    interval: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    da: Decay | Name = 0
    beta: Threshold | Name = 0

    @property
    def adapts(self) -> bool:
        """Whether spikes raise the threshold."""
        return self.beta != 0

    def rests(self, step: int) -> bool:
        """Whether the state is set to zero before this step."""
        since = step - self.onset
        return since % self.interval == 0 if self.interval else since == 0


class Learning(_Strict, frozen=True):
    """A rule as sums of products in Loihi's grammar, applied to dense synapses in every time step; `learning.py` has its arithmetic.

    Attributes:
        dw, dt: change of the weight and of the synapse's tag; "" for none.
        x1_impulse, x1_tau, x2_impulse, x2_tau: presynaptic traces; a tau of 0 forgets at once.
        y1_impulse, y1_tau, y2_impulse, y2_tau, y3_impulse, y3_tau: traces of postsynaptic spikes, for a rule without third factor; where
            the target has a `modulation`, y1, y2 and y3 are what it sends.
        seed: of the stochastic rounding of traces.
    """

    dw: str = ""
    dt: str = ""
    x1_impulse: Impulse = 0
    x1_tau: Tau = 0
    x2_impulse: Impulse = 0
    x2_tau: Tau = 0
    y1_impulse: Impulse = 0
    y1_tau: Tau = 0
    y2_impulse: Impulse = 0
    y2_tau: Tau = 0
    y3_impulse: Impulse = 0
    y3_tau: Tau = 0
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 1


class Synapses(_Strict, frozen=True):
    """Connections from one population to another, or to itself; every one takes one time step.

    Attributes:
        name: of the synapses.
        source: a population, "input", or "lines".
        target: a population.
        weight: name of an array, (post, pre) of dense synapses, (post, pre, kernel, kernel) of a convolution.
        kind: "dense" or "conv".
        exponent: the sum over a neuron's spikes is multiplied by 2**exponent, rounded down.
        sign: "mixed" (-256..255), "excitatory" (0..255) or "inhibitory" (-255..0).
        bits: of a weight; mixed ones lose one bit more, so that 8 bits are the even numbers.
        stride, padding: of a convolution, zeros on every side.
        pool: spikes are summed over windows of pool x pool before the convolution; what does not fill a window is left out.
        learning: how weights move, None for not at all.
        to: what arrives is the target's "current"; or the "signal", the third factor of its `modulation`.
    """

    name: Name
    source: Name
    target: Name
    weight: Name
    kind: Literal["dense", "conv"] = "dense"
    exponent: Exponent = 0
    sign: Literal["mixed", "excitatory", "inhibitory"] = "mixed"
    bits: Annotated[int, Meta(ge=1, le=8)] = 8
    stride: Annotated[int, Meta(ge=1, le=64)] = 1
    padding: Annotated[int, Meta(ge=0, le=64)] = 0
    pool: Annotated[int, Meta(ge=1, le=64)] = 1
    learning: Learning | None = None
    to: Literal["current", "signal"] = "current"


class Readout(_Strict, frozen=True):
    """Where the answer is.

    Attributes:
        population: whose.
        read: "potential", the last v; or "spikes", their number from the population's onset on.
        scale: times this they are the float network's output.
    """

    population: Name
    read: Literal["potential", "spikes"]
    scale: Annotated[float, Meta(gt=0, le=1e12)]


class Network(_Strict, frozen=True):
    """Everything but the arrays.

    Attributes:
        name: of what was exported.
        steps: time steps of one window, the latency of the layers included.
        input, populations, synapses, readout: see there.
        scales: by population, integer potentials over float ones, for people and reports.
        lines: how many lines of spikes the input has beside those of its shape, behind them: teachers, or what keeps neurons silent.
    """

    name: str
    steps: Annotated[int, Meta(ge=1, le=1 << 20)]
    input: Input
    populations: Annotated[tuple[Population, ...], Meta(min_length=1, max_length=1024)]
    synapses: Annotated[tuple[Synapses, ...], Meta(max_length=4096)]
    readout: Readout
    scales: dict[str, float] = {}
    lines: Annotated[int, Meta(ge=0, le=1 << 16)] = 0

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of everything that synapses can come from."""
        lines: dict[str, tuple[int, ...]] = {LINES: (self.lines,)} if self.lines else {}
        return {INPUT: self.input.shape, **lines, **{one.name: one.shape for one in self.populations}}

    def arriving(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """An input (..., n, batch) by the names of its sources."""
        n = math.prod(self.input.shape)
        return {INPUT: rows[..., :n, :], LINES: rows[..., n:, :]} if self.lines else {INPUT: rows}


class Bundle(NamedTuple):
    """A network as integers.

    Attributes:
        network: its description.
        arrays: weights and constants by name, int32.
        floats: the network that was rounded, by the same names in float64: weights as they multiply, decays as du = 1 - decay, thresholds,
            biases. Empty where it is not kept.
    """

    network: Network
    arrays: dict[str, np.ndarray]
    floats: Mapping[str, np.ndarray] = MappingProxyType({})

    def constant(self, value: int | str, size: int) -> np.ndarray:
        """A constant of each neuron of a population, int32 (size,)."""
        return np.full(size, value, np.int32) if isinstance(value, int) else self.arrays[value].ravel()
