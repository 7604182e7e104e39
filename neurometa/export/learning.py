"""Learning in Loihi's integer arithmetic, bit for bit, its stochastic rounding included; one sample, because every step changes weights.

After the spikes of a step (`emulator.py`), with r drawn anew for each step, one number for a whole matrix:

    x = floor(q) + [r < q mod 1],  q = exp(-1/tau) x;   then + impulse where the neuron spiked, within 0..127        (y likewise)
    p = dependency * (product of factors) * m, >> max(0, widths + 4 - 15), << (e + 7), within 15 bits and a sign     each product
    a = (w << 7) + p + p + ..., within 15 bits and a sign after each;   w = floor(a / 128) + [r < a/128 mod 1]
    widths: 7 of a trace, 9 of w and t, 1 of x0 and y0

w and t are evaluated from the values before the step; new weights act on the next step's spikes. A presynaptic trace is not cleared when
the postsynaptic neuron is reset: a rule that wants that says `-y0*t`.

Source:
    Intel's own model, lava-nc 0.10 (tag fixed_pt: LearningDense, LearningRuleApplierBitApprox), to which the tests hold this.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from neurometa.core.kernels import integer
from neurometa.errors import UserError
from neurometa.export import emulator
from neurometa.export.bundle import Bundle, Learning, Population, Synapses
from neurometa.export.bundle.rule import Product, parse
from neurometa.export.bundle.schema import INPUT

TRACE, SYNAPSE, MANTISSA, ACCUMULATOR = 7, 9, 4, 15
"""Widths in bits: of a trace, of a weight or tag with its sign, of a rule's number, of the sum."""

WIDTHS = {"w": SYNAPSE, "t": SYNAPSE, "x0": 1, "y0": 1}
"""Widths of factors that are no traces."""

SENT_TAU = 65535
"""Time constant by which the chip's model lets y values decay that neurons send: in one step, hardly."""


class Learned(NamedTuple):
    """What a run left behind: spikes uint8 (steps, n) by population; weights and tags int32 (post, pre) by synapses that learn."""

    spikes: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    tags: dict[str, np.ndarray]


class _Plastic:
    """Synapses that learn: their state between steps, and their random numbers in the order in which the chip's model draws them."""

    def __init__(self, bundle: Bundle, one: Synapses, rule: Learning, sent: bool) -> None:
        weight = bundle.arrays[one.weight]
        lost = {"mixed": 9 - one.bits}.get(one.sign, 8 - one.bits)
        facing = -1 if one.sign == "inhibitory" else 1
        self.w = ((((facing * weight) >> lost) << lost) * facing).astype(np.int64)
        self.t = np.zeros(weight.shape, np.int64)
        self.about, self.dw, self.dt = one, parse(rule.dw, f"dw of {one.name}"), parse(rule.dt, f"dt of {one.name}")
        self.x = np.zeros((2, weight.shape[1]), np.int64)
        self.y = np.zeros((3, weight.shape[0]), np.int64)
        self.x_tau, self.x_impulse = (rule.x1_tau, rule.x2_tau), (rule.x1_impulse, rule.x2_impulse)
        self.y_tau, self.y_impulse = (rule.y1_tau, rule.y2_tau, rule.y3_tau), (rule.y1_impulse, rule.y2_impulse, rule.y3_impulse)
        if sent:
            self.y_tau, self.y_impulse = (SENT_TAU,) * 3, (0, 0, 0)
        self.draw_x, self.draw_y, self.draw_w = (np.random.default_rng(seed) for seed in (rule.seed, rule.seed + 2, 2))
        for draw in (self.draw_x, self.draw_y, self.draw_w):
            draw.random(1)

    def arriving(self, spikes: np.ndarray) -> np.ndarray:
        """What reaches the neurons one step later, int32 (post,)."""
        summed = self.w[:, spikes.astype(bool)].sum(1)
        return (summed << self.about.exponent if self.about.exponent > 0 else summed >> -self.about.exponent).astype(np.int32)

    def learn(self, pre: np.ndarray, post: np.ndarray, sent: np.ndarray | None, clock: int) -> None:
        """Apply the rule after step `clock`, counted from 1.

        Args:
            pre, post: spikes of this step, (pre,) and (post,).
            sent: y1, y2, y3 as the neurons sent them, (3, post); None for traces of their spikes.
        """
        random_x, random_y = self.draw_x.random(2)[1], self.draw_y.random(2)[1]
        random_w = self.draw_w.random(1)[0]
        self.x = _trace(self.x, self.x_tau, self.x_impulse, pre, random_x)
        y = _trace(self.y if sent is None else sent, self.y_tau, self.y_impulse, post, random_y)
        if sent is None:
            self.y = y
        values = {"x1": self.x[0], "x2": self.x[1], "y1": y[0, :, None], "y2": y[1, :, None], "y3": y[2, :, None], "w": self.w, "t": self.t}
        when = {"x0": pre.astype(np.int64)[None], "y0": post.astype(np.int64)[:, None]}
        values |= when
        w = _rounded(_applied(self.w, self.dw, values, when, clock), random_w, self.about.sign) if self.dw else self.w
        t = _rounded(_applied(self.t, self.dt, values, when, clock), random_w, "tag") if self.dt else self.t
        self.w, self.t = w, t


def _trace(x: np.ndarray, taus: tuple[float, ...], impulses: tuple[int, ...], spikes: np.ndarray, random: float) -> np.ndarray:
    """Traces (kinds, n) one step on."""
    found = np.zeros_like(x)
    for i, (tau, impulse) in enumerate(zip(taus, impulses, strict=True)):
        if tau:
            kept = np.exp(-1 / tau) * x[i]
            found[i] = np.floor(kept) + (random < kept % 1)
        on = spikes.astype(bool)
        found[i, on] = np.clip(found[i, on] + impulse, 0, 2**TRACE - 1)
    return found


def _applied(
    start: np.ndarray, products: tuple[Product, ...], values: dict[str, np.ndarray], when: dict[str, np.ndarray], clock: int
) -> np.ndarray:
    """The accumulator after all products."""
    total = start << (ACCUMULATOR + 1 - SYNAPSE)
    low, high = -(2**ACCUMULATOR) - 1, 2**ACCUMULATOR - 1
    for product in products:
        due = np.array(int(clock % 2**product.every == 0)) if product.dependency == "u" else when[product.dependency]
        made, width = np.broadcast_to(due, start.shape).astype(np.int64), MANTISSA
        for factor in product.factors:
            bits = WIDTHS.get(factor, TRACE)
            made, width = made * np.clip(values[factor], -(2**bits), 2**bits - 1), width + bits
        made = (made * product.mantissa >> max(0, width - ACCUMULATOR)) << (product.exponent + 7)
        total = np.clip(total + np.clip(made, low, high), low, high)
    return total


def _rounded(total: np.ndarray, random: float, sign: str) -> np.ndarray:
    """Weight or tag from the accumulator."""
    total = np.maximum(total, 0) if sign == "excitatory" else np.minimum(total, 0) if sign == "inhibitory" else total
    part = total / 2 ** (ACCUMULATOR - SYNAPSE + 1)
    whole = (np.floor(part) + (random < part % 1)).astype(np.int64)
    low, high = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0), "tag": (-257, 255)}[sign]
    return np.clip(whole, low, high)


def learn(bundle: Bundle, given: np.ndarray, signals: Mapping[str, np.ndarray] | None = None) -> Learned:
    """Run a network from rest, its synapses learning as their rules say.

    Args:
        bundle: what is played, checked; its input is of spikes.
        given: spikes, 0 or 1, (steps, n).
        signals: third factors -127..127, whole numbers (steps, post), by the names that the populations' modulation gives.
    Raises:
        UserError: an input or a signal of another shape.
    """
    network, steps = bundle.network, emulator.check_input(bundle, given[..., None], True)
    states = {one.name: emulator.rest(bundle, one, given[0][:, None], 1) for one in network.populations}
    signals = _checked(bundle, signals or {}, steps)
    modulated = {one.name: np.zeros((3, math.prod(one.shape)), np.int64) for one in network.populations if one.modulation}
    plastic = {one.name: _Plastic(bundle, one, one.learning, one.target in modulated) for one in network.synapses if one.learning}
    carry = {one.name: emulator.carrier(bundle, one) for one in network.synapses if one.name not in plastic}
    waiting = {one.name: np.zeros(states[one.target].v.shape, np.int32) for one in network.synapses}
    spikes = {one.name: np.zeros((steps, math.prod(one.shape)), np.uint8) for one in network.populations}
    for t in range(steps):
        arriving = {name: np.zeros(state.v.shape, np.int32) for name, state in states.items()}
        for one in network.synapses:
            arriving[one.target] += waiting[one.name]
        for one in network.populations:
            state = states[one.name]
            if t == one.onset:
                state.u[:], state.v[:] = 0, 0
            before = _before_reset(state, arriving[one.name]) if one.modulation else None
            integer.step(arriving[one.name], *state)
            spikes[one.name][t] = state.z[:, 0]
            if one.modulation and before is not None:
                modulated[one.name] = _sent(one, state, before, modulated[one.name], signals[one.modulation.signal][t])
        now = {INPUT: given[t].astype(np.uint8), **{name: rows[t] for name, rows in spikes.items()}}
        for one in network.synapses:
            if one.name in plastic:
                waiting[one.name] = plastic[one.name].arriving(now[one.source])[:, None]
                plastic[one.name].learn(now[one.source], now[one.target], modulated.get(one.target), t + 1)
            else:
                waiting[one.name] = carry[one.name](now[one.source][:, None])
    weights, tags = ({name: getattr(one, what).astype(np.int32) for name, one in plastic.items()} for what in ("w", "t"))
    return Learned(spikes, weights, tags)


def _checked(bundle: Bundle, signals: Mapping[str, np.ndarray], steps: int) -> dict[str, np.ndarray]:
    found = {}
    for one in bundle.network.populations:
        if one.modulation:
            name, expected = one.modulation.signal, (steps, math.prod(one.shape))
            signal = signals.get(name)
            if signal is None or signal.shape != expected or signal.dtype.kind != "i" or np.abs(signal).max() > 127:
                given = "none" if signal is None else f"{signal.dtype} of shape {signal.shape}"
                raise UserError(f"signal {name} of {one.name}: {given} given, expected whole numbers -127..127 of shape {expected}")
            found[name] = signal.astype(np.int64)
    return found


def _before_reset(state: emulator.State, arriving: np.ndarray) -> np.ndarray:
    """The potential that this step will reach, before its reset."""
    copy = state._replace(u=state.u.copy(), v=state.v.copy(), z=state.z.copy(), vth=np.full_like(state.vth, 1 << 20))
    integer.step(arriving, *copy)
    return copy.v


def _sent(one: Population, state: emulator.State, before: np.ndarray, last: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """y1, y2, y3 of each neuron, (3, n)."""
    rule = one.modulation
    if rule is None:
        return last
    if rule.y1 == "surrogate":
        y1 = rule.height * (np.abs(before[:, 0].astype(np.int64) - (state.vth << 6)) < rule.width << 6)
    else:
        y1 = np.minimum((last[0] * (4096 - rule.decay) >> 12) + rule.height * state.z[:, 0].astype(np.int64), 127)
    return np.stack([y1, np.maximum(-signal, 0), np.maximum(signal, 0)])
