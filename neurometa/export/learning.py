"""Learning in Loihi's integer arithmetic, bit for bit, its stochastic rounding included; every sample has weights of its own.

After the spikes of a step (`emulator.py`), with r drawn anew for each step, one number for a whole matrix:

    x = floor(q) + [r < q mod 1],  q = exp(-1/tau) x;   then + impulse where the neuron spiked, within 0..127        (y likewise)
    p = dependency * (product of factors) * m, >> max(0, widths + 4 - 15), << (e + 7), within 15 bits and a sign     each product
    a = (w << 7) + p + p + ..., within 15 bits and a sign after each;   w = floor(a / 128) + [r < a/128 mod 1]
    widths: 7 of a trace, 9 of w and t, 1 of x0 and y0

The random numbers are those of each matrix, the same for every sample, as they are for runs one after another.

w and t are evaluated from the values before the step; new weights act on the next step's spikes. A presynaptic trace is not cleared when
the postsynaptic neuron is reset: a rule that wants that says `-y0*t`.

Source:
    Intel's own model, lava-nc 0.10 (tag fixed_pt: LearningDense, LearningRuleApplierBitApprox), to which the tests hold this.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from neurometa.core.kernels import plastic
from neurometa.errors import UserError
from neurometa.export import emulator
from neurometa.export.bundle import Bundle, Learning, Modulation, Population, Synapses
from neurometa.export.bundle.rule import Product, parse

TRACE, SYNAPSE, MANTISSA = 7, 9, 4
"""Widths in bits: of a trace, of a weight or tag with its sign, of a rule's number."""

WIDTHS = {"w": SYNAPSE, "t": SYNAPSE, "x0": 1, "y0": 1}
"""Widths of factors that are no traces."""

BOUNDS = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0), "tag": (-257, 255)}
"""Of weights by their sign mode, and of tags."""

ONE, FINE = 64, 1024
"""What a third factor stands for 1 with, and what a neuron says."""

SENT_TAU = 65535
"""Time constant by which the chip's model lets y values decay that neurons send: in one step, hardly."""


class Learned(NamedTuple):
    """What a run left behind.

    Attributes:
        spikes, potential: by population, uint8 (steps, n, batch), and int32 (n, batch) after the last step.
        weights, tags: by synapses that learn, int32 (batch, post, pre).
        read: potentials after every step, int32 (steps, n, batch), of the population whose potential is read out; empty for spikes.
    """

    spikes: dict[str, np.ndarray]
    potential: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    tags: dict[str, np.ndarray]
    read: dict[str, np.ndarray]


class _Sum:
    """A rule's sum of products, split into what each side of a synapse knows."""

    def __init__(self, products: tuple[Product, ...]) -> None:
        self.products = products
        widths = [MANTISSA + sum(WIDTHS.get(factor, TRACE) for factor in one.factors) for one in products]
        self.of_w, self.of_t = (np.array([one.factors.count(name) for one in products], np.int64) for name in ("w", "t"))
        self.shift = np.array([max(0, width - plastic.ACCUMULATOR) for width in widths], np.int64)
        self.left = np.array([one.exponent + TRACE for one in products], np.int64)

    def applied(
        self, old: np.ndarray, w: np.ndarray, t: np.ndarray, values: dict[str, np.ndarray], clock: int, random: float, sign: str
    ) -> np.ndarray:
        """The variable after the step; `values` are traces and spikes by name, (n, batch)."""
        if not self.products:
            return old
        pre = np.ones((len(self.products), w.shape[2], w.shape[0]), np.int64)
        post = np.ones((len(self.products), w.shape[1], w.shape[0]), np.int64)
        for i, one in enumerate(self.products):
            post[i] *= one.mantissa * (one.dependency != "u" or clock % 2**one.every == 0)
            for name in (*one.factors, *([one.dependency] if one.dependency != "u" else [])):
                if name[0] in "xy":
                    side = pre if name[0] == "x" else post
                    side[i] *= values[name]
        new = np.empty_like(old)
        plastic.changed(old, w, t, pre, post, self.of_w, self.of_t, self.shift, self.left, random, *BOUNDS[sign], new)
        return new


class _Plastic:
    """Synapses that learn: their state between steps, and their random numbers in the order in which the chip's model draws them."""

    def __init__(self, bundle: Bundle, one: Synapses, rule: Learning, sent: bool, batch: int) -> None:
        weight = bundle.arrays[one.weight]
        lost = {"mixed": 9 - one.bits}.get(one.sign, 8 - one.bits)
        facing = -1 if one.sign == "inhibitory" else 1
        self.w = np.repeat(((((facing * weight) >> lost) << lost) * facing).astype(np.int32)[None], batch, 0)
        self.t = np.zeros(self.w.shape, np.int32)
        self.about, self.dw, self.dt = one, _Sum(parse(rule.dw, f"dw of {one.name}")), _Sum(parse(rule.dt, f"dt of {one.name}"))
        self.x = np.zeros((2, weight.shape[1], batch), np.int64)
        self.y = np.zeros((3, weight.shape[0], batch), np.int64)
        self.x_tau, self.x_impulse = (rule.x1_tau, rule.x2_tau), (rule.x1_impulse, rule.x2_impulse)
        self.y_tau, self.y_impulse = (rule.y1_tau, rule.y2_tau, rule.y3_tau), (rule.y1_impulse, rule.y2_impulse, rule.y3_impulse)
        if sent:
            self.y_tau, self.y_impulse = (SENT_TAU,) * 3, (0, 0, 0)
        self.draw_x, self.draw_y, self.draw_w = (np.random.default_rng(seed) for seed in (rule.seed, rule.seed + 2, 2))
        for draw in (self.draw_x, self.draw_y, self.draw_w):
            draw.random(1)

    def arriving(self, spikes: np.ndarray) -> np.ndarray:
        """What reaches the neurons one step later, int32 (post, batch)."""
        summed = np.empty((self.w.shape[1], self.w.shape[0]), np.int32)
        plastic.arriving(self.w, spikes, summed)
        return summed << self.about.exponent if self.about.exponent > 0 else summed >> -self.about.exponent

    def learn(self, pre: np.ndarray, post: np.ndarray, sent: np.ndarray | None, clock: int) -> None:
        """Apply the rule after step `clock`, counted from 1.

        Args:
            pre, post: spikes of this step, (pre, batch) and (post, batch).
            sent: y1, y2, y3 as the neurons sent them, (3, post, batch); None for traces of their spikes.
        """
        random_x, random_y = self.draw_x.random(2)[1], self.draw_y.random(2)[1]
        random_w = float(self.draw_w.random(1)[0])
        self.x = _trace(self.x, self.x_tau, self.x_impulse, pre, random_x)
        y = _trace(self.y if sent is None else sent, self.y_tau, self.y_impulse, post, random_y)
        if sent is None:
            self.y = y
        values = {"x0": pre, "x1": self.x[0], "x2": self.x[1], "y0": post, "y1": y[0], "y2": y[1], "y3": y[2]}
        w = self.dw.applied(self.w, self.w, self.t, values, clock, random_w, self.about.sign)
        t = self.dt.applied(self.t, self.w, self.t, values, clock, random_w, "tag")
        self.w, self.t = w, t


def _trace(x: np.ndarray, taus: tuple[float, ...], impulses: tuple[int, ...], spikes: np.ndarray, random: float) -> np.ndarray:
    """Traces (kinds, n, batch) one step on."""
    found = np.zeros_like(x)
    for i, (tau, impulse) in enumerate(zip(taus, impulses, strict=True)):
        if tau and x[i].any():
            kept = np.exp(-1 / tau) * x[i]
            found[i] = np.floor(kept) + (random < kept % 1)
        if impulse:
            found[i] = np.minimum(found[i] + impulse * spikes.astype(np.int64), 2**TRACE - 1)
    return found


def learn(bundle: Bundle, given: np.ndarray, signals: Mapping[str, np.ndarray] | None = None, *, record: bool = True) -> Learned:
    """Run a network from rest, its synapses learning as their rules say.

    Args:
        bundle: what is played, checked; its input is of spikes.
        given: spikes, 0 or 1, (steps, n, batch).
        signals: third factors -127..127, whole numbers (steps, post, batch), by the names that the populations' modulation gives.
        record: whether to keep every spike.
    Raises:
        UserError: an input or a signal of another shape.
    """
    network, steps, batch = bundle.network, emulator.check_input(bundle, given, True), given.shape[-1]
    states = {one.name: emulator.rest(bundle, one, given[0], batch) for one in network.populations}
    outside = checked(bundle, signals or {}, steps, batch)
    modulated = {one.name: np.zeros((3, math.prod(one.shape), batch), np.int64) for one in network.populations if one.modulation}
    plastics = {one.name: _Plastic(bundle, one, one.learning, one.target in modulated, batch) for one in network.synapses if one.learning}
    carry = {one.name: emulator.carrier(bundle, one) for one in network.synapses if one.name not in plastics}
    waiting = {one.name: np.zeros(states[one.target].v.shape, np.int32) for one in network.synapses}
    spikes = {one.name: np.zeros((steps, math.prod(one.shape), batch), np.uint8) for one in network.populations} if record else {}
    seen = [network.readout.population] if network.readout.read == "potential" else []
    read = {name: np.zeros((steps, *states[name].v.shape), np.int32) for name in seen}
    for t in range(steps):
        arriving, factors = ({name: np.zeros(state.v.shape, np.int32) for name, state in states.items()} for _ in range(2))
        for one in network.synapses:
            (arriving if one.to == "current" else factors)[one.target] += waiting[one.name]
        for one in network.populations:
            state = states[one.name]
            if one.rests(t):
                emulator.silence(state)
            limit = state.limit  # of this step: its spikes raise that of the next
            before = _before_reset(state, arriving[one.name]) if one.modulation and one.modulation.y1 == "surrogate" else state.v
            emulator.step(state, arriving[one.name])
            if record:
                spikes[one.name][t] = state.z
            if one.name in read:
                read[one.name][t] = state.v
            if one.modulation:
                factor = factors[one.name] + (outside[one.name][t] if one.name in outside else 0)
                modulated[one.name] = _sent(one, state, before, modulated[one.name], np.clip(factor, -127, 127), limit)
        now = network.arriving(given[t].astype(np.uint8)) | {name: state.z for name, state in states.items()}
        for one in network.synapses:
            if one.name in plastics:
                waiting[one.name] = plastics[one.name].arriving(now[one.source])
                plastics[one.name].learn(now[one.source], now[one.target], modulated.get(one.target), t + 1)
            else:
                waiting[one.name] = carry[one.name](now[one.source])
    potential = {name: state.v for name, state in states.items()}
    weights, tags = ({name: getattr(one, what) for name, one in plastics.items()} for what in ("w", "t"))
    return Learned(spikes, potential, weights, tags, read)


def checked(bundle: Bundle, signals: Mapping[str, np.ndarray], steps: int, batch: int) -> dict[str, np.ndarray]:
    """Third factors from outside, by population."""
    found = {}
    for one in bundle.network.populations:
        if one.modulation and one.modulation.signal:
            name, expected = one.modulation.signal, (steps, math.prod(one.shape), batch)
            signal = signals.get(name)
            if signal is None or signal.shape != expected or signal.dtype.kind != "i" or np.abs(signal).max() > 127:
                given = "none" if signal is None else f"{signal.dtype} of shape {signal.shape}"
                raise UserError(f"signal {name} of {one.name}: {given} given, expected whole numbers -127..127 of shape {expected}")
            found[one.name] = signal.astype(np.int64)
    return found


def _before_reset(state: emulator.State, arriving: np.ndarray) -> np.ndarray:
    """The potential that this step will reach, before its reset."""
    copy = state._replace(u=state.u.copy(), v=state.v.copy(), z=state.z.copy(), vth=np.full_like(state.vth, 1 << 20), adaptation=None)
    emulator.step(copy, arriving)
    return copy.v


def _sent(
    one: Population, state: emulator.State, before: np.ndarray, last: np.ndarray, signal: np.ndarray, limit: np.ndarray
) -> np.ndarray:
    """y1, y2, y3 of each neuron, (3, n, batch)."""
    rule = one.modulation
    if rule is None:
        return last
    if rule.y1 == "surrogate":
        y1 = rule.height * (np.abs(before.astype(np.int64) - limit) < rule.width << 6)
    else:
        y1 = np.minimum((last[0] * (4096 - rule.decay) >> 12) + rule.height * state.z.astype(np.int64), 127)
    third = _third(rule, state.u, signal)
    return np.stack([y1, np.maximum(-third, 0), np.maximum(third, 0)])


def _third(rule: Modulation, u: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """The third factor of each neuron from what arrived and, where the rule says so, from its own current; see `schema.Modulation`."""
    if rule.third == "arriving":
        return signal
    says = _sigmoid(rule.offset + ((u.astype(np.int64) >> 6) * rule.slope >> rule.shift))
    error = (np.where(signal > 0, FINE, 0) - says) // (FINE // ONE)
    if rule.third == "trigger":
        error = np.sign(error) * (says * (FINE - says) >> 12) * (np.abs(error) > rule.least)
    return error * (signal != 0)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    """1024 times the sigmoid of x / 1024 by four straight lines, at most 0.019 off.

    Source:
        Amin, Curtis & Hayes-Gill 1997, doi:10.1049/ip-cds:19971587 (the lines; table not checked).
    """
    far = np.abs(x)
    lines = (far >> 5) + 864, (far >> 3) + 640, (far >> 2) + 512
    high = np.select([far >= 5 * FINE, far >= 2432, far >= FINE], [np.full_like(far, FINE), *lines[:2]], lines[2])
    return np.where(x < 0, FINE - high, high)
