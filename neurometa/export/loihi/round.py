"""From stages to integers: one scale a population, chosen from its weights and from what a calibration batch does to it.

With a factor S, weights S W, threshold S theta and bias 64 S b make the same spikes, the integer potential being 64 S times the float one:

    S = 2**e 254 / (c max|W|)      W -> nearest even number to S W / 2**e, theta -> round(S theta), b -> mantissa and exponent of 64 S b

and beta as theta, where it adapts.

c <= 1 clips the largest weights where that makes the mean square error smaller; e is the largest exponent with which twice what the
calibration batch showed still fits 24 bits, the threshold 17, the bias 13 times 2**7.
"""

import math
from typing import NamedTuple, NoReturn

import msgspec
import numpy as np

from neurometa.core import fixed
from neurometa.core.fixed import EXPONENTS, NEVER
from neurometa.errors import UserError
from neurometa.export.bundle import Bundle, Input, Network, Population, Readout, Synapses
from neurometa.export.bundle.check import LARGEST_SUM
from neurometa.export.bundle.schema import INPUT
from neurometa.export.loihi.stage import Folded, Stage, Synapse

STATE = 1 << 23
MARGIN = 2.0
"""How much larger than in the calibration batch a state may become."""


class Peaks(NamedTuple):
    """Largest magnitudes that a calibration batch brought about in the float network: of potential, current, and rise of the threshold."""

    v: float
    i: float
    b: float = 0.0


class Rounded(NamedTuple):
    """What rounding did to one population: relative errors, in percent of the largest weight or of the threshold.

    Attributes:
        layer: name of the population.
        scale: integer potentials over float ones.
        exponent: of the weights.
        weight_rms, weight_max: error of the weights, in percent of the largest.
        clipped: weights cut off at the range's end.
        zeros: weights not 0 that became 0, in percent.
        bias_max: largest error of a bias, in percent of the threshold (of the largest bias where there is none).
        threshold_max, decay_max: largest error of a threshold, in percent, and of a decay.
        beta_max, rho_max: largest error of what a spike adds to the threshold, in percent of the largest, and of the factor by which that
            stays; 0 where no threshold adapts.
    """

    layer: str
    scale: float
    exponent: int
    weight_rms: float
    weight_max: float
    clipped: int
    zeros: float
    bias_max: float
    threshold_max: float
    decay_max: float
    beta_max: float = 0.0
    rho_max: float = 0.0


def rounded(folded: Folded, peaks: dict[str, Peaks] | None, name: str, bits: int = 8) -> tuple[Bundle, list[Rounded]]:
    """Round a network.

    Args:
        folded: the network.
        peaks: by stage; None to choose scales from the weights alone, as a network that was trained in integers has them.
        name: of the bundle.
        bits: of a weight, 2 to 8.
    Raises:
        UserError: something does not fit, whatever the scale.
    """
    arrays: dict[str, np.ndarray] = {}
    floats: dict[str, np.ndarray] = {}
    populations, synapses, report, scales = [], [], [], {}
    for stage in folded.stages:
        biased = folded.kind == "bias" and any(one.source == INPUT for one in stage.synapses)
        carried = tuple(one for one in stage.synapses if not (biased and one.source == INPUT))
        exponent, base = _scale(stage, carried, peaks[stage.name], biased, bits) if peaks else _safe(stage, carried, folded.steps, bits)
        scale = base * 2.0**exponent
        population, own = _population(stage, scale, biased)
        made = [_synapses(one, stage.name, scale, bits) for one in carried]
        populations.append(population)
        synapses += [description for description, _ in made]
        arrays |= own | {description.weight: weight for description, weight in made}
        floats |= _floats(stage, carried)
        scales[stage.name] = 64 * scale
        if biased:
            floats["input.scale"] = np.array(1 / (64 * scale))
        report.append(_report(stage, scale, exponent, carried, made, population, own))
    last = folded.stages[-1]
    readout = Readout(last.name, "potential", 1 / (scales[last.name] * folded.steps))
    if not last.accumulates:
        readout = Readout(last.name, "spikes", 1 / folded.steps)
    given = Input(folded.shape, "spikes")
    if folded.kind == "bias":
        first = folded.first
        given = Input(first.shape, "bias", first.name)
    steps = max(stage.onset for stage in folded.stages) + folded.steps - folded.unread
    return Bundle(Network(name, steps, given, tuple(populations), tuple(synapses), readout, scales), arrays, floats), report


def _refuse(given: str, expected: str) -> NoReturn:
    raise UserError(f"{given} cannot be exported to Loihi, expected {expected}")


def _scale(stage: Stage, carried: tuple[Synapse, ...], peaks: Peaks, biased: bool, bits: int) -> tuple[int, float]:
    """The exponent e and the scale without it, S / 2**e."""
    base = fixed.base(carried[0].weight, bits) if carried else 1.0
    threshold = 0.0 if stage.accumulates else float(stage.threshold.max())
    raised = max(threshold, float(stage.beta.max())) if stage.adapts else threshold
    bias = 0.0 if biased else float(np.abs(stage.bias).max())
    rows = sum(float(np.abs(one.weight.reshape(len(one.weight), -1)).sum(1).max()) * one.pool**2 for one in carried)
    limit = (NEVER << 6 if stage.accumulates else STATE) / MARGIN
    for exponent in EXPONENTS if carried else range(16, -9, -1):
        scale = base * 2.0**exponent
        fits = 64 * scale * max(peaks) < limit and scale * raised <= NEVER
        if fits and 64 * scale * (peaks.i if biased else bias) <= 4095 * 2**7 and scale * rows < LARGEST_SUM:
            break
    else:
        rise = f" that spikes raise by up to {max(peaks.b, raised):.3g}" if stage.adapts else ""
        _refuse(
            f"{stage.name} with potentials up to {peaks.v:.3g}, a threshold of {threshold:.3g}{rise} and biases up to {bias:.3g}",
            "smaller ones",
        )
    if not stage.accumulates and scale * float(stage.threshold.min()) < 1:
        _refuse(f"{stage.name} with thresholds from {stage.threshold.min():.3g} to {threshold:.3g}", "thresholds of a like size")
    if stage.adapts and scale * float(stage.beta.max()) < 1:
        _refuse(
            f"{stage.name} with a threshold of {threshold:.3g} that a spike raises by {stage.beta.max():.3g}", "a beta like it, or of 0"
        )
    return exponent, base


def _safe(stage: Stage, carried: tuple[Synapse, ...], steps: int, bits: int) -> tuple[int, float]:
    """The same from the weights alone, see `fixed.safe`, which takes one kind of neurons, and synapses from one population to it."""
    alike = all((values == values[0]).all() for values in (stage.decay, stage.threshold))
    if len(carried) != 1 or not alike or stage.current_decay.any():
        _refuse(f"{stage.name}, whose scale is to be chosen from its weights,", "spikes as input and neurons without own constants")
    base, one = fixed.base(carried[0].weight, bits), carried[0]
    threshold = 0.0 if stage.accumulates else float(stage.threshold[0])
    cell = fixed.Cell(int(fixed.decays(stage.decay[0])), threshold, stage.accumulates, steps)
    scale = fixed.safe(stage.name, one.weight, one.pool, stage.bias, cell, bits).scale
    return round(math.log2(scale / base)), base


def _synapses(one: Synapse, target: str, scale: float, bits: int) -> tuple[Synapses, np.ndarray]:
    """Integer weights; the exponent is the smallest with which all but the clipped ones fit."""
    grid = fixed.on_grid(one.weight, scale, bits)
    if grid.exponent > 7:
        reach = float(np.abs(one.weight).max()) * scale
        _refuse(f"{one.name} with weights that are {reach / 256:.3g} times those beside it", "recurrent and other weights of a like size")
    kind, sign = "conv" if one.conv else "dense", fixed.sign_of(one.weight)
    described = Synapses(
        one.name, one.source, target, f"{one.name}.weight", kind, grid.exponent, sign, bits, one.stride, one.padding, one.pool
    )
    return described, grid.weight.astype(np.int32)


def _population(stage: Stage, scale: float, biased: bool) -> tuple[Population, dict[str, np.ndarray]]:
    """Integer constants; one number where all neurons have the same."""
    arrays: dict[str, np.ndarray] = {}

    def constant(field: str, values: np.ndarray) -> int | str:
        if (values == values[0]).all():
            return int(values[0])
        arrays[f"{stage.name}.{field}"] = values.astype(np.int32)
        return f"{stage.name}.{field}"

    of_u = np.round((1 - stage.current_decay) * 4096).astype(int)
    vth = np.full(len(of_u), NEVER) if stage.accumulates else fixed.thresholds(stage.threshold, scale)
    du, dv, limit = constant("du", np.clip(of_u - 1, 0, 4095)), constant("dv", fixed.decays(stage.decay)), constant("vth", vth)
    start = -STATE + 1 if stage.onset > 0 and not stage.accumulates else 0
    name, exponent = "", 0
    if biased:
        exponent = 7  # filled in by the caller of the network, see `mantissas`
    elif stage.bias.any():
        name = f"{stage.name}.bias"
        arrays[name], exponent = fixed.biases(stage.bias, scale)
    made = Population(stage.name, stage.shape, du, dv, limit, name, exponent, stage.onset, start)
    if stage.adapts:
        fades, raises = np.clip(np.round((1 - stage.rho) * 4096), 0, 4095).astype(int), np.round(stage.beta * scale).astype(int)
        made = msgspec.structs.replace(made, da=constant("da", fades), beta=constant("beta", raises))
    return made, arrays


def mantissas(bundle: Bundle, currents: np.ndarray) -> np.ndarray:
    """Float currents (n, batch) of the input's population as bias mantissas; what is out of range is clipped."""
    target = next(one for one in bundle.network.populations if one.name == bundle.network.input.target)
    wanted = np.round(currents * bundle.network.scales[target.name] / 2**target.bias_exp)
    return np.clip(wanted, -4096, 4095).astype(np.int32)


def _floats(stage: Stage, carried: tuple[Synapse, ...]) -> dict[str, np.ndarray]:
    constants = {"du": 1 - stage.current_decay, "dv": 1 - stage.decay, "vth": np.minimum(stage.threshold, 1e300), "bias": stage.bias}
    constants |= {"da": 1 - stage.rho, "beta": stage.beta} if stage.adapts else {}
    return {f"{stage.name}.{key}": np.array(value) for key, value in constants.items()} | {
        f"{one.name}.weight": one.weight for one in carried
    }


def _report(
    stage: Stage,
    scale: float,
    exponent: int,
    carried: tuple[Synapse, ...],
    made: list[tuple[Synapses, np.ndarray]],
    population: Population,
    arrays: dict[str, np.ndarray],
) -> Rounded:
    """Compare integers with what they stand for."""
    wanted = np.concatenate([one.weight.ravel() for one in carried]) if carried else np.zeros(1)
    got = np.concatenate([weight.ravel() * 2.0**about.exponent / scale for about, weight in made]) if made else np.zeros(1)
    largest = max(float(np.abs(wanted).max()), 1e-300)
    ends = [fixed.range_of(one.weight, about.bits) for one, (about, _) in zip(carried, made, strict=True)]
    beyond = [np.abs(one.weight * scale / 2.0**about.exponent) for one, (about, _) in zip(carried, made, strict=True)]
    clipped = sum(int((over > max(abs(low), high) + step / 2).sum()) for over, (low, high, step) in zip(beyond, ends, strict=True))
    bias = arrays[population.bias] * 2.0**population.bias_exp / (64 * scale) if population.bias else stage.bias
    unit = float(stage.threshold.min()) if not stage.accumulates else max(float(np.abs(stage.bias).max()), 1e-300)
    vth = np.broadcast_to(arrays[population.vth] if isinstance(population.vth, str) else np.array(population.vth), stage.threshold.shape)
    off = 0.0 if stage.accumulates else float(np.abs(vth / scale / stage.threshold - 1).max())
    dv = arrays[population.dv] if isinstance(population.dv, str) else np.array(population.dv)
    du = arrays[population.du] if isinstance(population.du, str) else np.array(population.du)
    decay = max(float(np.abs(1 - dv / 4096 - stage.decay).max()), float(np.abs(1 - (du + 1) / 4096 - stage.current_decay).max()))
    raises, fades = (np.array(value) if isinstance(value, int) else arrays[value] for value in (population.beta, population.da))
    beta = 100 * float(np.abs(raises / scale - stage.beta).max() / stage.beta.max()) if stage.adapts else 0.0
    rho = float(np.abs(1 - fades / 4096 - stage.rho).max()) if stage.adapts else 0.0
    return Rounded(
        stage.name, 64 * scale, exponent, 100 * float(np.sqrt(np.square(got - wanted).mean())) / largest,
        100 * float(np.abs(got - wanted).max()) / largest, clipped, 100 * float(((got == 0) & (wanted != 0)).mean()),
        100 * float(np.abs(bias - stage.bias).max()) / unit, 100 * off, decay, beta, rho,
    )  # fmt: skip
