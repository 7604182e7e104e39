"""What a batch of inputs does to the folded network in floating point: the peaks that choose its scales."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neurometa.core.neuron import ALIF, CurrentLIF
from neurometa.core.recurrent_scan import recurrent_scan
from neurometa.core.scan import states
from neurometa.export.bundle.schema import INPUT
from neurometa.export.loihi.chip import currents
from neurometa.export.loihi.round import Peaks
from neurometa.export.loihi.stage import ALWAYS, Folded, Stage, Synapse
from neurometa.types import Signal


def calibrate(folded: Folded, x: Signal) -> tuple[dict[str, Peaks], dict[str, Tensor]]:
    """Run the folded network step for step as the float network does, in float64.

    Returns:
        The peaks by stage, and the spikes of each, (time, batch, n); of an accumulator, its last potential (batch, n).
    """
    peaks: dict[str, Peaks] = {}
    sent: dict[str, Tensor] = {INPUT: x.values.double()}
    late: dict[str, int] = {}
    for at, stage in enumerate(folded.stages):
        if not stage.synapses:
            peaks[stage.name], sent[stage.name] = Peaks(1.0, 1.0), torch.ones(folded.steps, len(x.values), 1, dtype=torch.float64)
            continue
        if stage is folded.first and folded.kind == "bias":
            current = torch.from_numpy(currents(folded, x.values.double().numpy()).T.copy()).unsqueeze(0)
        else:
            current = _arriving(folded, stage.synapses[0], sent, x.timed)
            gap = late.get(stage.synapses[0].source, 0)
            if gap:
                current = torch.cat([torch.zeros_like(current[:gap]), current[:-gap]])
            current = current + torch.from_numpy(np.array(_bias(stage)))
        if stage.accumulates:
            running = current.cumsum(0) if len(current) > 1 else current * folded.steps
            peaks[stage.name] = Peaks(float(running.abs().max()), float(current.abs().max()))
            sent[stage.name] = running[-1]
            continue
        found = _fire(stage, current, folded.steps)
        peaks[stage.name] = _peaks(stage, found)
        sent[stage.name] = found.z
        late[stage.name] = _delay(folded, at)
    return peaks, {name: spikes for name, spikes in sent.items() if name != INPUT}


def _bias(stage: Stage) -> np.ndarray:
    """The constant input, however it arrives."""
    return sum((one.weight[:, 0] for one in stage.synapses if one.source == ALWAYS), stage.bias)


def _delay(folded: Folded, at: int) -> int:
    """Steps from a population to the next one in the float network: the chip's one, less by what its clock is ahead."""
    return 0 if at + 1 == len(folded.stages) else folded.stages[at].onset + 1 - folded.stages[at + 1].onset


def _arriving(folded: Folded, one: Synapse, sent: dict[str, Tensor], timed: bool) -> Tensor:
    """Current of every step, (time or 1, batch, n)."""
    spikes = sent[one.source]
    spikes = spikes if timed or one.source != INPUT else spikes.unsqueeze(0)
    shape = folded.shape if one.source == INPUT else next(stage.shape for stage in folded.stages if stage.name == one.source)
    weight = torch.from_numpy(np.ascontiguousarray(one.weight))
    if not one.conv:
        return spikes.reshape(*spikes.shape[:2], math.prod(shape)) @ weight.mT
    images = spikes.reshape(-1, *shape)
    if one.pool > 1:
        images = F.avg_pool2d(images, one.pool, divisor_override=1)
    return F.conv2d(images, weight, None, one.stride, one.padding).reshape(*spikes.shape[:2], -1)


def _fire(stage: Stage, current: Tensor, steps: int) -> Any:
    decay, filtered, threshold = (torch.from_numpy(value) for value in (stage.decay, stage.current_decay, stage.threshold))
    neuron = CurrentLIF(decay, filtered, threshold)
    if stage.adapts:
        neuron = ALIF(decay, threshold, torch.from_numpy(stage.beta), torch.from_numpy(stage.rho))
    again = [one.weight for one in stage.synapses if one.source == stage.name]
    if again:
        recurrent = torch.from_numpy(np.sum(again, 0))
        return recurrent_scan(neuron, current, recurrent, steps, None, "reference")
    return states(neuron, current, steps, None, "reference")


def _peaks(stage: Stage, found: Any) -> Peaks:
    """Of neurons that fire; the current of those that adapt is what their potential gained."""
    if not stage.adapts:
        return Peaks(float(found.v.abs().max()), float(found.i.abs().max()))
    kept = torch.from_numpy(stage.decay) * found.v * (1 - found.z)
    gained = found.v - torch.cat([torch.zeros_like(kept[:1]), kept[:-1]])
    return Peaks(float(found.v.abs().max()), float(gained.abs().max()), float((torch.from_numpy(stage.beta) * found.a).max()))
