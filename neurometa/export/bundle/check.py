"""Whether a bundle holds together, before anything runs."""

import math
from typing import NoReturn

import numpy as np

from neurometa.errors import UserError
from neurometa.export.bundle import rule
from neurometa.export.bundle.schema import INPUT, LINES, Bundle, Network, Population, Synapses

RANGES = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}
"""Weights by sign mode."""

CONSTANTS = {"du": (0, 4095), "dv": (0, 4095), "vth": (0, 131071), "da": (0, 4095), "beta": (0, 131071)}
BIAS = (-4096, 4095)

LARGEST_SUM = 1 << 24
"""What arrives at a neuron in one step, in weights times 2**exponent, stays below this, so that no 32-bit sum overflows."""


def check(bundle: Bundle) -> None:
    """Refuse what cannot be played.

    Raises:
        UserError: names that are missing or double, shapes that do not fit, integers out of range, sums that overflow.
    """
    network = bundle.network
    names = [one.name for one in (*network.populations, *network.synapses)]
    twice = sorted({name for name in names if names.count(name) > 1 or name in (INPUT, LINES)})
    if twice:
        _refuse(f"the name {twice[0]} is given twice", "a name of its own for every population and all synapses")
    populations = {one.name: one for one in network.populations}
    _check_ends(network, populations)
    for one in network.populations:
        _check_population(bundle, one)
    arriving = dict.fromkeys((*populations, *(f"signal of {name}" for name in populations)), 0)
    for one in network.synapses:
        arriving[one.target if one.to == "current" else f"signal of {one.target}"] += _check_synapses(
            bundle, one, network.shapes[one.source], populations[one.target].shape
        )
    for name, largest in arriving.items():
        if largest > LARGEST_SUM:
            _refuse(f"{name} can receive {largest:,} in one step", f"at most {LARGEST_SUM:,}: lower the exponents")
    used = {*_used(network)}
    if used != set(bundle.arrays):
        odd = sorted(used ^ set(bundle.arrays))[0]
        _refuse(f"array {odd} is {'missing' if odd in used else 'not used'}", "just the arrays that the network names")


def _refuse(given: str, expected: str) -> NoReturn:
    raise UserError(f"bundle: {given}, expected {expected}")


def _check_ends(network: Network, populations: dict[str, Population]) -> None:
    for one in network.synapses:
        for end, known in (("source", set(network.shapes)), ("target", set(populations))):
            if getattr(one, end) not in known:
                _refuse(f"{one.name} has the {end} {getattr(one, end)}", f"one of {', '.join(sorted(known))}")
        if one.source == INPUT and network.input.kind == "bias":
            _refuse(f"{one.name} carries spikes of an input of kind bias", "an input of kind spikes")
        if one.learning:
            rule.parse(one.learning.dw, f"dw of {one.name}")
            rule.parse(one.learning.dt, f"dt of {one.name}")
        if one.to == "signal" and (one.learning or (one.target in populations and not populations[one.target].modulation)):
            _refuse(f"{one.name} brings a signal to {one.target}", "synapses that do not learn, to a population with a modulation")
        if one.learning and one.kind != "dense":
            _refuse(f"{one.name} is a convolution that learns", "dense synapses where weights move")
    if network.readout.population not in populations:
        _refuse(f"the readout is of {network.readout.population}", f"one of {', '.join(populations)}")
    if network.input.kind == "bias":
        if network.lines:
            _refuse(f"an input of kind bias has {network.lines} further lines", "an input of kind spikes")
        target = populations.get(network.input.target)
        if target is None or math.prod(target.shape) != math.prod(network.input.shape) or target.bias:
            _refuse(f"the input is the bias of {network.input.target!r}", "a population of its size without a bias of its own")


def _check_population(bundle: Bundle, one: Population) -> None:
    size = math.prod(one.shape)
    for field, limits in (*CONSTANTS.items(), ("bias", BIAS)):
        name = getattr(one, field)
        if isinstance(name, str) and name:
            _check_array(bundle, f"{field} of {one.name}", name, (size,), limits)


def _check_synapses(bundle: Bundle, one: Synapses, source: tuple[int, ...], target: tuple[int, ...]) -> int:
    """Check the weights; return the largest sum that they can make."""
    weight = bundle.arrays.get(one.weight)
    if weight is None:
        _refuse(f"{one.name} names the array {one.weight}, which is missing", "it among the arrays")
    if one.kind == "dense":
        expected: tuple[int, ...] = (math.prod(target), math.prod(source))
        if (one.stride, one.padding, one.pool) != (1, 0, 1):
            _refuse(f"{one.name} is dense with stride {one.stride}, padding {one.padding}, pool {one.pool}", "1, 0 and 1")
    else:
        if len(source) != 3 or len(target) != 3 or weight.ndim != 4:
            _refuse(f"{one.name} convolves {source} to {target} by weights of shape {weight.shape}", "three axes, and four of the weights")
        kernel = weight.shape[-1]
        expected = (target[0], source[0], kernel, kernel)
        sides = tuple((n // one.pool + 2 * one.padding - kernel) // one.stride + 1 for n in source[1:])
        if sides != target[1:]:
            _refuse(f"{one.name} makes a picture of {sides}", f"that of {one.target}, {target[1:]}")
    _check_array(bundle, one.name, one.weight, expected, RANGES[one.sign])
    rows = np.abs(weight.reshape(len(weight), -1).astype(np.int64)).sum(1).max() * one.pool**2
    return int(rows) << one.exponent if one.exponent > 0 else int(rows) >> -one.exponent


def _check_array(bundle: Bundle, what: str, name: str, shape: tuple[int, ...], limits: tuple[int, int]) -> None:
    array = bundle.arrays.get(name)
    if array is None:
        _refuse(f"{what} names the array {name}, which is missing", "it among the arrays")
    if array.dtype != np.int32 or array.shape != shape:
        _refuse(f"array {name} ({what}) is {array.dtype} of shape {array.shape}", f"int32 of shape {shape}")
    if array.size and (array.min() < limits[0] or array.max() > limits[1]):
        _refuse(f"array {name} ({what}) has integers from {array.min()} to {array.max()}", f"{limits[0]} to {limits[1]}")


def _used(network: Network) -> list[str]:
    """Every array that is named."""
    given = [value for one in network.populations for value in (*(getattr(one, field) for field in CONSTANTS), one.bias)]
    constants = [value for value in given if isinstance(value, str) and value]
    return [*constants, *(one.weight for one in network.synapses)]
