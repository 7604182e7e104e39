"""Rules that descend on the support loss from their configuration."""

import re
from fnmatch import fnmatchcase

import msgspec
import torch

from neurometa.core.network import READOUT
from neurometa.errors import UserError
from neurometa.experiment import config
from neurometa.plasticity import bptt, eprop, generator
from neurometa.plasticity.base import Plasticity
from neurometa.plasticity.step_size import Columns
from neurometa.types import Network

RANGE = re.compile(r"(?P<name>.+)\[(?P<first>\d+):(?P<last>\d+)\]")
"""A weight of which only the synapses of some inputs move: `linear1.weight[0:20]`."""


def descending(rule: config.BPTT | config.EProp, net: Network, ways: int) -> Plasticity:
    """Build the rule for episodes of that many ways.

    Raises:
        UserError: it would move nothing, cannot work on this network, or has a rate that nothing would use.
    """
    patterns, columns = _parsed(rule.fast, net)
    rule = msgspec.structs.replace(rule, fast=patterns)
    _refuse_still(rule, net)
    if rule.hidden_rate is not None and all(pattern.startswith(f"{READOUT}.") for pattern in rule.fast):
        raise UserError(
            f"plasticity.hidden_rate = {rule.hidden_rate} given, but plasticity.fast names the readout alone: "
            "leave hidden_rate out, or name weights below the readout in fast"
        )
    written = ways if rule.head == "zero" else None
    if isinstance(rule, config.BPTT):
        if rule.hidden_rate is not None and rule.rates == "learnt":
            raise UserError(
                f"plasticity.hidden_rate = {rule.hidden_rate} with rates = 'learnt' given, which is one rate for all: "
                "choose rates = 'per-tensor', or hidden_rate = false"
            )
        return bptt.BPTT(rule.steps, rule.rate, rule.rates, rule.fast, written, rule.hidden_rate, columns)
    built = eprop.EProp(
        rule.steps, rule.rate, rule.rates, rule.hidden_rate, rule.fast, written, rule.feedback, rule.output, rule.trace, rule.examples,
        rule.chunk, rule.updates == "online", rule.truncate == "traces", rule.target_rate, rule.regularisation,
        generator.Generator(rule.generator), columns, rule.signal_delay,
    )  # fmt: skip
    built.refuse(net)
    return built


def refuse(experiment: config.Experiment) -> None:
    """Meta-learnt parts of such a rule under an outer loop that has no gradient for them."""
    rule, outer = experiment.plasticity, experiment.estimator
    if not isinstance(rule, config.BPTT | config.EProp) or isinstance(outer, config.Unrolled | config.Evolution):
        return
    kind = str(outer.__struct_config__.tag)
    if rule.rates != "fixed":
        raise UserError(
            f"estimator {kind} gives learnt rates no gradient (plasticity.rates = {rule.rates!r}): "
            "choose estimator unrolled, or plasticity.rates = 'fixed'"
        )
    if isinstance(rule, config.EProp) and rule.feedback in ("learnt", "generator"):
        raise UserError(
            f"estimator {kind} gives feedback {rule.feedback} no gradient: choose estimator unrolled, or plasticity.feedback = 'random'"
        )


def _parsed(fast: tuple[str, ...], net: Network) -> tuple[tuple[str, ...], tuple[Columns, ...]]:
    """Patterns without their [first:last], and what these say: of which inputs a weight's synapses move.

    Raises:
        UserError: a range that is none, outside the inputs, or not of exactly one weight (neurons, inputs).
    """
    patterns, columns, params = [], [], net.init(torch.Generator())
    for pattern in fast:
        found = RANGE.fullmatch(pattern)
        if not found:
            patterns.append(pattern)
            continue
        name, first, last = found["name"], int(found["first"]), int(found["last"])
        weight = params.get(name)
        if weight is None or weight.dim() != 2 or not name.endswith(".weight"):
            known = ", ".join(name for name, value in params.items() if value.dim() == 2 and name.endswith(".weight")) or "none here"
            raise UserError(f"plasticity.fast gives {pattern!r}, but a range needs the name of a weight of a linear layer: {known}")
        if not 0 <= first < last <= weight.shape[1]:
            raise UserError(f"plasticity.fast gives {pattern!r}, but {name} has inputs 0 to {weight.shape[1]}: 0 <= first < last expected")
        patterns.append(name)
        columns.append(Columns(name, first, last))
    twice = {one.name for one in columns if sum(fnmatchcase(one.name, pattern) for pattern in patterns) > 1}
    if twice:
        raise UserError(f"plasticity.fast names {min(twice)} twice, once with a range: once expected")
    return tuple(patterns), tuple(columns)


def _refuse_still(rule: config.BPTT | config.EProp, net: Network) -> None:
    """Patterns of fast weights that match nothing, and a readout of zeros that does not move."""
    names = list(net.init(torch.Generator()))
    if rule.head == "zero":
        names += [f"{READOUT}.weight", f"{READOUT}.bias"]
        if not all(any(fnmatchcase(name, pattern) for pattern in rule.fast) for name in names[-2:]):
            raise UserError(
                f"plasticity.head = 'zero' with fast = {list(rule.fast)}: a readout of zeros that does not move names nothing; "
                "add 'readout.*' to plasticity.fast, or choose head = 'own'"
            )
    for pattern in rule.fast:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(f"plasticity.fast names {pattern!r}, which matches no parameter; expected a pattern over {', '.join(names)}")
    if not rule.fast:
        kind = str(rule.__struct_config__.tag)
        raise UserError(f'plasticity.fast is empty, so {kind} would change nothing: name patterns such as "*", or choose plasticity frozen')
