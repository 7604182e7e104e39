"""Why an adaptation failed: in which rule, at which layer and at which of its steps. Asked only after the fact, outside vmap."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from neurometa.core.tree import detach
from neurometa.meta.learner import Learner
from neurometa.types import Data, Episode, Params

COUNTED = {"steps": "step", "passes": "pass", "trials": "trial"}
"""Fields of rules that say how often they go over the support set, and what one time is called. One pass may end at an example."""


@torch.no_grad()
def trouble(learner: Learner, params: Params, episodes: Episode, finite: Tensor | None = None) -> str | None:
    """Adapt to the first episode that failed once more, alone, and say what went wrong.

    Args:
        learner, params: what adapts.
        episodes: encoded, with a leading task axis.
        finite: which of them succeeded; None to try one after another.
    Returns:
        One sentence naming rule, layer and step; None where nothing is wrong with any.
    """
    params = detach(params)
    for i in range(len(episodes.support.y)):
        if finite is not None and bool(finite[i]):
            continue
        support: Data = tree_map(lambda x, i=i: x[i], episodes.support)
        said = _said(learner, params, support)
        if said:
            return said
    return None


def _said(learner: Learner, params: Params, support: Data) -> str | None:
    rule: Any = learner.plasticity
    adapted = learner.adapt(params, support)
    if bool(adapted.finite):
        return None
    name, broken = type(rule).__name__.lower().removesuffix("modulated"), _broken(adapted.fast)
    if not broken:
        return f"rule {name}: no neuron spiked in the support set, which leaves nothing to learn from; raise the input or the weights"
    counted = next((field for field in COUNTED if hasattr(rule, field)), None)
    if counted is None:
        return _diverged(name, broken, f"example {_example(learner, params, support)}")
    for done in range(1, getattr(rule, counted) + 1):
        shorter = learner._replace(plasticity=rule._replace(**{counted: done}))
        early = _broken(shorter.adapt(params, support).fast)
        if early and done == 1 and counted != "steps" and not support.noise:
            return _diverged(name, early, f"example {_example(shorter, params, support)}")
        if early:
            return _diverged(name, early, f"{COUNTED[counted]} {done}")
    return _diverged(name, broken, f"{COUNTED[counted]} {getattr(rule, counted)}")  # of an adaptation that is not the same twice


def _example(learner: Learner, params: Params, support: Data) -> int:
    """After how many examples, in the order given, the weights of a rule that learns from one after another are no longer finite."""
    last = len(support.y)
    timed = support.x.ndim > len(learner.network.shape) + 1
    for n in range(1, last):
        shown = support._replace(x=support.x[:, :n] if timed else support.x[:n], y=support.y[:n])
        if _broken(learner.adapt(params, shown).fast):
            return n
    return last


def _broken(fast: Params) -> list[str]:
    return [name for name, value in fast.items() if not bool(torch.isfinite(value).all())]


def _diverged(rule: str, names: list[str], when: str) -> str:
    layers = ", ".join(dict.fromkeys(name.rsplit(".", 1)[0] for name in names))
    return f"rule {rule}: fast weights of {layers} are not finite after {when} of the adaptation; lower the inner rate"
