"""Step sizes of rules that descend, and a readout that such a rule writes from zero."""

from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.core.network import READOUT
from neurometa.types import Network, Params


class Columns(NamedTuple):
    """The synapses of a weight (neurons, inputs) that move where not all do: those of inputs `first` to `last` - 1."""

    name: str
    first: int
    last: int


class Sizes(NamedTuple):
    """Step sizes of the readout and of all else, or their initial values where learnt.

    Attributes:
        readout, hidden: the numbers.
        kind: whose own a step size is: "fixed"; or meta-learnt, "one" for all, "learnt" one for the readout and one for all else,
            "per-tensor", or "per-parameter" for each weight.
        columns: of weights of which not all synapses move, those that do.
    """

    readout: float
    hidden: float
    kind: str
    columns: tuple[Columns, ...] = ()

    def start(self, name: str) -> float:
        """The step size with which a weight begins."""
        return self.readout if name.startswith(f"{READOUT}.") else self.hidden


def slow(prefix: str, sizes: Sizes, moving: Params) -> Params:
    """Logarithms of the learnt step sizes, called `<prefix>.log_rate`, with the name behind of what has its own."""
    if sizes.kind == "fixed":
        return {}
    if sizes.kind == "one":
        return {f"{prefix}.log_rate": torch.tensor(sizes.hidden).log()}
    if sizes.kind == "learnt":
        return {f"{prefix}.log_rate.{part}": torch.tensor(sizes.start(part)).log() for part in sorted({_part(name) for name in moving})}
    start = {name: torch.tensor(sizes.start(name)).log() for name in moving}
    each = sizes.kind == "per-parameter"
    return {f"{prefix}.log_rate.{name}": start[name].expand(value.shape if each else ()).clone() for name, value in moving.items()}


def of(prefix: str, sizes: Sizes, params: Params, name: str) -> Tensor | float:
    """The step size of a weight."""
    if sizes.kind == "fixed":
        return sizes.start(name)
    if sizes.kind == "one":
        return params[f"{prefix}.log_rate"].exp()
    return params[f"{prefix}.log_rate.{_part(name) if sizes.kind == 'learnt' else name}"].exp()


def stepped(prefix: str, sizes: Sizes, params: Params, fast: Params, gradient: Params) -> Params:
    """The fast weights after one step down the gradient: w - rate * dE/dw, of the synapses that move."""
    moved = {name: of(prefix, sizes, params, name) * gradient[name] for name in fast}
    for name, first, last in sizes.columns:
        if name in moved:
            at = torch.arange(moved[name].shape[1], device=moved[name].device)
            moved[name] = moved[name] * ((first <= at) & (at < last))
    return {name: value - moved[name] for name, value in fast.items()}


def moving(sizes: Sizes, fast: Params) -> int:
    """Number of synapses and biases that a step moves."""
    still = sum(fast[name].numel() - len(fast[name]) * (last - first) for name, first, last in sizes.columns if name in fast)
    return sum(value.numel() for value in fast.values()) - still


def _part(name: str) -> str:
    return READOUT if name.startswith(f"{READOUT}.") else "hidden"


def unwritten(network: Network, params: Params, ways: int | None) -> Params:
    """A readout of zeros with `ways` rows, where the rule is to write one; empty where it is not."""
    if ways is None:
        return {}
    like = next(iter(params.values()), torch.zeros(()))  # a readout that stands alone, unwritten, has none
    return {f"{READOUT}.weight": like.new_zeros(ways, network.features), f"{READOUT}.bias": like.new_zeros(ways)}
