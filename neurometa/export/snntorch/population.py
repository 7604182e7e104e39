"""Populations as snnTorch's neurons."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from neurometa.core.neuron import IF, LIF, CurrentLIF, Neuron, VoidingLIF
from neurometa.errors import UserError
from neurometa.export.snntorch import surrogate


class Input(NamedTuple):
    """What happens to a population's input on the way: its scale, and what a recurrent one gets of itself and always."""

    scale: float = 1.0
    recurrent: Tensor | None = None
    bias: Tensor | None = None


def write(name: str, neuron: Neuron, learnt: set[str], given: Input, kind: torch.dtype) -> nn.Module:
    """The module of a population, its constants `learnt` where named.

    Without a scale `Leaky` or `Synaptic`, recurrent `RLeaky` or `RSynaptic`; with a scale `Lapicque` with time_step = 1, C = 1 / scale and
    R = scale / (1 - decay).

    Raises:
        UserError: for a neuron that snnTorch does not have.
    """
    import snntorch

    if isinstance(neuron, IF):
        neuron = LIF(1.0, *neuron)
    if not isinstance(neuron, LIF | CurrentLIF | VoidingLIF):
        raise UserError(f"layer {name} has {type(neuron).__name__} neurons, which snnTorch does not have; expected IF, LIF or CurrentLIF")
    voids = isinstance(neuron, VoidingLIF)
    if isinstance(neuron, CurrentLIF) and neuron.hard_reset:
        raise UserError(
            f"layer {name} has CurrentLIF neurons with a hard reset, snnTorch's Synaptic loses the next input too: use VoidingLIF"
        )
    common: dict[str, Any] = {
        "threshold": torch.as_tensor(neuron.threshold, dtype=kind),
        "spike_grad": surrogate.write(neuron.surrogate),
        "init_hidden": True,
        "reset_mechanism": "zero" if voids or neuron.hard_reset else "subtract",
        "learn_threshold": "threshold" in learnt,
    }
    beta = torch.as_tensor(neuron.decay, dtype=kind)
    common_decay = {"beta": beta, "learn_beta": "decay" in learnt}
    without_current = isinstance(neuron, LIF) or (
        voids and "current_decay" not in learnt and not torch.as_tensor(neuron.current_decay).any()
    )
    if given.recurrent is None and (given.scale != 1.0 or (voids and without_current and not learnt)):
        return _circuit(name, neuron, learnt, given.scale, kind, common)
    if given.scale != 1.0 or (given.bias is not None and given.recurrent is None):
        raise UserError(f"layer {name} has a Scale before recurrent neurons or an Offset before others, snnTorch has only the reverse")
    if given.recurrent is None:
        if isinstance(neuron, LIF):
            return snntorch.Leaky(**common_decay, **common)
        alpha = {"alpha": torch.as_tensor(neuron.current_decay, dtype=kind), "learn_alpha": "current_decay" in learnt}
        return snntorch.Synaptic(**alpha, **common_decay, **common)
    size: dict[str, Any] = {"linear_features": len(given.recurrent)}
    if without_current and not (isinstance(neuron, LIF) and neuron.hard_reset):
        return _looped(snntorch.RLeaky(**common_decay, **common, **size), given)
    if isinstance(neuron, LIF):
        raise UserError(
            f"layer {name} has recurrent LIF neurons with a hard reset, snnTorch's RLeaky loses the next input too: use VoidingLIF"
        )
    alpha = {"alpha": torch.as_tensor(neuron.current_decay, dtype=kind), "learn_alpha": "current_decay" in learnt}
    return _looped(snntorch.RSynaptic(**alpha, **common_decay, **common, **size), given)


def _looped(module: Any, given: Input) -> nn.Module:
    """The recurrent module with these weights; without a bias where there is none."""
    state = {key: value.clone() for key, value in (("weight", given.recurrent), ("bias", given.bias)) if value is not None}
    module.recurrent = nn.Linear(module.linear_features, module.linear_features, "bias" in state)
    module.recurrent.load_state_dict(state, assign=True)
    return module


def _circuit(name: str, neuron: Any, learnt: set[str], scale: float, kind: torch.dtype, common: dict[str, Any]) -> nn.Module:
    import snntorch

    has_decay = isinstance(neuron.decay, float) and neuron.decay < 1 and "decay" not in learnt
    no_current = not isinstance(neuron, CurrentLIF) and getattr(neuron, "current_decay", 0.0) == 0.0
    resets = isinstance(neuron, VoidingLIF) or not neuron.hard_reset
    if not (has_decay and no_current and resets and scale > 0):
        raise UserError(
            f"layer {name} follows a Scale of {scale}, which snnTorch has in Lapicque alone: expected one decay below 1, not learnt, no "
            "synaptic current, a subtractive or voiding reset, and a positive scale"
        )
    circuit = {"R": scale / (1 - neuron.decay), "C": 1 / scale}
    return snntorch.Lapicque(**{key: torch.tensor(value, dtype=kind) for key, value in circuit.items()}, **common)
