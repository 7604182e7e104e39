"""What an experiment is: the TOML file as typed structs. Unknown keys, wrong kinds and values out of range are refused here."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Each = Literal["layer", "channel", "neuron"]
Delay = Annotated[int, Meta(ge=0, le=1)]
Bits = Literal[2, 3, 4, 5, 6, 7, 8, 32]
Arithmetic = Literal["float", "integer"]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and an unknown key is an error."""


class Surrogate(_Strict, frozen=True):
    """Derivative used in place of the step function's."""

    kind: Literal["fast-sigmoid", "arctan", "triangle", "sigmoid", "box"] = "fast-sigmoid"
    slope: Positive = 3.0


class LearntDecay(_Strict, frozen=True, tag="learnt", tag_field="kind"):
    """A meta-learned decay, kept between 0 and 1 as 1 / (1 + exp(-raw))."""

    start: Annotated[float, Meta(gt=0, lt=1)]
    each: Each = "neuron"


class Tau(_Strict, frozen=True, tag="tau", tag_field="kind"):
    """A decay of exp(-1 / tau)."""

    tau: Positive
    each: Each = "neuron"
    learnt: bool = False


class UniformTau(_Strict, frozen=True, tag="uniform", tag_field="kind"):
    """Decays of exp(-1 / tau), with tau uniform between two bounds."""

    low: Positive
    high: Positive
    each: Each = "neuron"
    learnt: bool = False


class GammaTau(_Strict, frozen=True, tag="gamma", tag_field="kind"):
    """Decays of exp(-1 / tau), with tau of a gamma distribution."""

    tau: Positive
    shape: Positive = 3.0
    each: Each = "neuron"
    learnt: bool = False


class LogNormalTau(_Strict, frozen=True, tag="log-normal", tag_field="kind"):
    """Decays of exp(-1 / tau), with log tau of a normal distribution."""

    tau: Positive
    spread: Positive = 0.5
    each: Each = "neuron"
    learnt: bool = False


class LearntPositive(_Strict, frozen=True, tag="learnt", tag_field="kind"):
    """A meta-learned positive number, kept above 0 as exp(raw)."""

    start: Positive
    each: Each = "neuron"


Decay = Fraction | LearntDecay | Tau | UniformTau | GammaTau | LogNormalTau
Level = Positive | LearntPositive


class LIF(_Strict, frozen=True, tag="lif", tag_field="kind"):
    """Leaky integrate-and-fire."""

    decay: Decay = 0.5
    threshold: Level = 1.0
    reset: Literal["hard", "subtract"] = "hard"
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()


class IF(_Strict, frozen=True, tag="if", tag_field="kind"):
    """Integrate-and-fire without leak."""

    threshold: Level = 1.0
    reset: Literal["hard", "subtract"] = "hard"
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()


class CurrentLIF(_Strict, frozen=True, tag="current-lif", tag_field="kind"):
    """Leaky integrate-and-fire driven by a synaptic current that decays on its own."""

    decay: Decay = 0.5
    current_decay: Decay = 0.5
    threshold: Level = 1.0
    reset: Literal["hard", "subtract"] = "hard"
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()


class ALIF(_Strict, frozen=True, tag="alif", tag_field="kind"):
    """Leaky integrate-and-fire with a threshold that rises with every spike, the neuron of LSNNs."""

    decay: Decay = 0.5
    threshold: Level = 1.0
    beta: NotNegative | LearntPositive = 0.2
    rho: Decay = 0.9
    reset: Literal["hard", "subtract"] = "hard"
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()


class RefractoryLIF(_Strict, frozen=True, tag="refractory-lif", tag_field="kind"):
    """Leaky integrate-and-fire that rests after every spike."""

    decay: Decay = 0.5
    threshold: Level = 1.0
    refractory: Annotated[int, Meta(ge=0)] = 2
    reset: Literal["hard", "subtract"] = "hard"
    reset_gradient: bool = True
    surrogate: Surrogate = Surrogate()


class SigmaDelta(_Strict, frozen=True, tag="sigma-delta", tag_field="kind"):
    """A rectified unit that sends its changes as graded spikes."""

    threshold: NotNegative = 0.1


Spiking = LIF | IF | CurrentLIF | ALIF | RefractoryLIF | SigmaDelta


class ReLU(_Strict, frozen=True, tag="relu", tag_field="kind"):
    """The conventional unit: a network of these needs no time."""


class Direct(_Strict, frozen=True, tag="direct", tag_field="kind"):
    """The pixel value as a constant current; a binary pixel is one spike at every step."""

    steps: Count = 8


class Rate(_Strict, frozen=True, tag="rate", tag_field="kind"):
    """Each pixel spikes with probability gain * value + offset at each step."""

    steps: Count = 25
    gain: Fraction = 1.0
    offset: Fraction = 0.0


class Latency(_Strict, frozen=True, tag="latency", tag_field="kind"):
    """One spike per pixel, the brighter the earlier."""

    steps: Count = 8


class TauLatency(_Strict, frozen=True, tag="tau-latency", tag_field="kind"):
    """One spike per pixel, when a neuron that the pixel charges reaches its threshold."""

    steps: Count = 8
    tau: Positive = 1.0
    threshold: Annotated[float, Meta(gt=0, lt=1)] = 0.01
    first: Annotated[int, Meta(ge=0)] = 0
    linear: bool = False
    normalise: bool = False
    clip: bool = False


class Delta(_Strict, frozen=True, tag="delta", tag_field="kind"):
    """Events of a sensor swept over the picture, one column a time step: a spike where a pixel is brighter than its left neighbour."""

    threshold: Positive = 0.1
    off: bool = False
    padding: bool = False


class Population(_Strict, frozen=True, tag="population", tag_field="kind"):
    """A number as the activity of neurons that each prefer another."""

    steps: Count = 8
    neurons: Annotated[int, Meta(ge=2)] = 20
    width: Positive = 1.0
    gain: Positive = 1.0


class Raster(_Strict, frozen=True, tag="raster", tag_field="kind"):
    """Spikes over time as the task gives them."""


Encoding = Direct | Rate | Latency | TauLatency | Delta | Population | Raster


class Conv(_Strict, frozen=True, tag="conv", tag_field="kind"):
    """Stack of convolution, normalisation, neuron, pooling; one entry of `channels`, `strides`, `pools` a layer."""

    channels: tuple[Count, ...] = (32, 64, 64, 64)
    kernel: Count = 3
    strides: tuple[Count, ...] = (1, 1, 1, 1)
    pools: tuple[Count, ...] = (2, 2, 2, 1)
    pooling: Literal["average", "sum", "max"] = "average"
    pool_before_neuron: bool = False
    normalise: bool = True
    neuron: Spiking | ReLU = LIF()
    features: Literal["current", "spikes"] = "current"
    normalise_features: bool = False
    hidden: tuple[Count, ...] = ()
    readout: Literal["rate", "membrane"] = "rate"
    delay: Delay = 0
    bits: Bits = 32
    arithmetic: Arithmetic = "float"


class MLP(_Strict, frozen=True, tag="mlp", tag_field="kind"):
    """Stack of dense layers."""

    widths: tuple[Count, ...] = (128, 128)
    normalise: bool = False
    neuron: Spiking | ReLU = LIF()
    features: Literal["current", "spikes"] = "spikes"
    normalise_features: bool = False
    readout: Literal["rate", "membrane"] = "rate"
    recurrent: bool | tuple[bool, ...] = False
    delay: Delay = 0
    last: Annotated[int, Meta(ge=0)] = 0
    bits: Bits = 32
    arithmetic: Arithmetic = "float"


class Augment(_Strict, frozen=True):
    """Random affine change of every training image: rotation, scale, shift."""

    degrees: Annotated[float, Meta(ge=0, le=180)] = 10.0
    scale: Annotated[float, Meta(ge=0, lt=1)] = 0.12
    shift_px: Annotated[float, Meta(ge=0)] = 2.0


class Glyphs(_Strict, frozen=True, tag="glyphs", tag_field="kind"):
    """Characters of the fonts inside matplotlib: no download."""

    ways: Count = 5
    shots: Count = 1
    queries: Count = 5
    binary: bool = True
    size: Count = 28
    augment: Augment | None = Augment()


class Omniglot(_Strict, frozen=True, tag="omniglot", tag_field="kind"):
    """1,623 handwritten characters, 20 drawings each."""

    split: Literal["background-evaluation", "background-validation", "vinyals"] = "background-evaluation"
    ways: Count = 5
    shots: Count = 1
    queries: Count = 5
    binary: bool = True
    rotations: bool = True
    augment: Augment | None = None


class Sinusoid(_Strict, frozen=True, tag="sinusoid", tag_field="kind"):
    """Regression: sines of their own amplitude and phase, each learnt from a few points."""

    shots: Count = 10
    queries: Count = 10

    @property
    def ways(self) -> int:
        """Outputs: the value of the sine."""
        return 1


class OmniglotStrokes(_Strict, frozen=True, tag="omniglot-strokes", tag_field="kind"):
    """Omniglot characters as a moving scan: a slit passes over each, so that time carries the information."""

    split: Literal["background-evaluation", "background-validation", "vinyals"] = "background-evaluation"
    ways: Count = 5
    shots: Count = 1
    queries: Count = 5
    rotations: bool = True
    augment: Augment | None = None
    width: Count = 1
    stride: Count = 1


class DelayedCue(_Strict, frozen=True, tag="delayed-cue", tag_field="kind"):
    """Store and recall: a cue, a long silence, a question; what each cue means is redrawn in every episode."""

    ways: Annotated[int, Meta(ge=2)] = 2
    shots: Count = 3
    queries: Count = 5
    cue: Count = 20
    delay: Annotated[int, Meta(ge=0)] = 200
    recall: Count = 20
    channels: Count = 5
    rate: Fraction = 0.3
    noise: Fraction = 0.01


Task = Glyphs | Omniglot | Sinusoid | DelayedCue | OmniglotStrokes


class Prototype(_Strict, frozen=True, tag="prototype", tag_field="kind"):
    """Closed form: readout weights 2 c and bias -|c|^2 for each class mean c."""


class Frozen(_Strict, frozen=True, tag="frozen", tag_field="kind"):
    """No plasticity: the control."""


class BPTT(_Strict, frozen=True, tag="bptt", tag_field="kind"):
    """k steps of gradient descent through the surrogate."""

    steps: Count = 5
    rate: Positive = 0.4
    hidden_rate: Positive | None = None
    rates: Literal["fixed", "learnt", "per-tensor", "per-parameter"] = "fixed"
    fast: tuple[str, ...] = ("*",)
    head: Literal["own", "zero"] = "own"


class EProp(_Strict, frozen=True, tag="eprop", tag_field="kind"):
    """Local eligibility at every synapse times a broadcast learning signal: online, no error carried back in time."""

    steps: Count = 1
    rate: Positive = 0.1
    hidden_rate: Positive | None = None
    rates: Literal["fixed", "learnt", "per-tensor", "per-parameter"] = "fixed"
    fast: tuple[str, ...] = ("*",)
    head: Literal["own", "zero"] = "own"
    feedback: Literal["symmetric", "random", "learnt", "generator"] = "symmetric"
    generator: Count = 64
    output: Literal["membrane", "running-mean", "time-mean"] = "membrane"
    trace: Literal["exact", "plain", "membrane"] = "exact"
    signal_delay: Annotated[int, Meta(ge=0)] = 0
    examples: Literal["batch", "single"] = "batch"
    chunk: Annotated[int, Meta(ge=0)] = 0
    updates: Literal["end", "online"] = "end"
    truncate: Literal["none", "traces"] = "none"
    regularisation: NotNegative = 0.0
    target_rate: Fraction = 0.1


class Hebbian(_Strict, frozen=True, tag="hebbian", tag_field="kind"):
    """Differentiable plasticity: Hebbian traces bind features to labels, their coefficients are meta-learned."""

    rule: Literal["hebb", "oja", "memory"] = "oja"
    coefficients: Literal["one", "feature", "synapse"] = "feature"
    head: Literal["own", "zero"] = "zero"
    gated: bool = False
    trace: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    normalise: bool = True
    eta: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    keep: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    alpha: float = 1.0


class STDP(_Strict, frozen=True, tag="stdp", tag_field="kind"):
    """Spike-timing dependent plasticity of the readout, whose neuron of the label a teacher makes spike."""

    teacher: Literal["spikes", "current"] = "spikes"
    strength: Positive = 2.0
    period: Count = 1
    passes: Count = 1
    gains: Literal["one", "feature"] = "one"
    a2_plus: Positive = 0.1
    a2_minus: NotNegative = 0.02
    a3_plus: NotNegative = 0.0
    a3_minus: NotNegative = 0.0
    tau_plus: Positive = 4.0
    tau_minus: Positive = 4.0
    tau_x: Positive = 20.0
    tau_y: Positive = 20.0
    offset: NotNegative = 0.0
    bounds: Literal["additive", "multiplicative"] = "additive"
    low: float = -1.0
    high: float = 1.0
    pairing: Literal["all-to-all", "nearest"] = "all-to-all"
    coincident: bool = True
    scale: Positive = 1.0


class Reward(_Strict, frozen=True, tag="reward", tag_field="kind"):
    """Three factors: guesses that are better rewarded than expected become likelier. The label is never seen."""

    trials: Count = 20
    rate: Positive = 1.0
    greed: Positive = 5.0
    forget: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    baseline: float = 0.2
    scale: Positive = 1.0


class SOEL(_Strict, frozen=True, tag="soel", tag_field="kind"):
    """Three factors: a readout neuron whose error is too large updates its own synapses."""

    passes: Count = 5
    every: Count = 1
    signal_delay: Annotated[int, Meta(ge=0)] = 0
    output: Literal["trace", "membrane"] = "trace"
    rate: Positive = 1.0
    tau: Positive = 4.0
    threshold: Positive = 0.1
    scale: Positive = 1.0


Rule = Prototype | Frozen | BPTT | EProp | Hebbian | STDP | Reward | SOEL


class Unrolled(_Strict, frozen=True, tag="unrolled", tag_field="kind"):
    """Exact gradient through the inner loop (second order)."""


class FirstOrder(_Strict, frozen=True, tag="first-order", tag_field="kind"):
    """Gradient at the adapted weights, applied to the initial ones."""


class Reptile(_Strict, frozen=True, tag="reptile", tag_field="kind"):
    """Move the initial weights towards the adapted ones."""


class Evolution(_Strict, frozen=True, tag="evolution", tag_field="kind"):
    """Antithetic evolution strategies: a gradient from trying, for rules that have none."""

    directions: Count = 16
    sigma: Positive = 0.1
    over: tuple[str, ...] = ("*",)


Outer = Unrolled | FirstOrder | Reptile | Evolution


class Training(_Strict, frozen=True):
    """The outer loop's optimiser and its schedule."""

    steps: Count = 1000
    tasks: Count = 1
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: Annotated[float, Meta(ge=0)] = 0.0
    redeal: bool = False
    momentum_of_statistics: Annotated[float, Meta(gt=0, le=1)] = 0.05
    checkpoint_every: Count = 200
    threads: Count | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    segments: Count = 1
    kernel: Literal["auto", "reference", "numba", "triton"] = "auto"
    start: str | None = None
    trains: tuple[str, ...] = ("*",)


class Evaluation(_Strict, frozen=True):
    """Episodes of unseen classes on which the learner is judged."""

    ways: Count = 5
    shots: Count = 1
    queries: Count = 5
    episodes: Count = 1000
    seed: int = 1
    bits: Literal[2, 3, 4, 5, 6, 7, 8, 16, 32] = 32
    cells: Literal["exact", "pcm", "pcm-pulses"] = "exact"


class Experiment(_Strict, frozen=True):
    """A whole experiment, as in experiments/*.toml."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    task: Task
    seed: int = 0
    network: Conv | MLP = Conv()
    encoding: Encoding = Direct()
    plasticity: Rule = Prototype()
    estimator: Outer = Unrolled()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
