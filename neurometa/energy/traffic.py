"""What a placement makes of the spikes: messages between cores, tiles that they pass, and what each core has to do."""

from typing import NamedTuple

import numpy as np

from neurometa.chips.card import Card
from neurometa.chips.placement import Placement, Population, place, targets
from neurometa.energy.counts import means
from neurometa.energy.stage import INPUT
from neurometa.energy.workload import Workload


class Traffic(NamedTuple):
    """Messages of one sample, and the load of each core.

    Attributes:
        axons_out: a spike sent to a core is one; those of the input, which no core sends, are not among them.
        axons_in: received by cores, the input's included.
        hops_east_west, hops_north_south: tiles that messages pass.
        load: for each core, what it does in one sample, (cores,) by the names of a card's events.
        placement: where the neurons are.
    """

    axons_out: float
    axons_in: float
    hops_east_west: float
    hops_north_south: float
    load: dict[str, np.ndarray]
    placement: Placement


def route(card: Card, work: Workload) -> Traffic | None:
    """Place a workload's network and send its spikes; None where the card says nothing about cores.

    Raises:
        UserError: the network does not fit, or pools in a way that no chip here can.
    """
    if card.limit("neurons_per_core") is None:
        return None
    populations = _populations(work)
    placement = place(card, populations)
    load = {name: np.zeros(placement.cores) for name in ("conv", "dense", "update", "active", "spike", "axon_in", "axon_out")}
    messages = np.zeros((placement.cores, placement.cores))
    kinds = {stage.population or stage.name: stage for stage in work.stages if stage.kind != "recurrent"}
    for one in populations:
        stage, core = kinds[one.name], placement.core[one.name]
        counts = means(work.layers[stage.name])
        flat = core.ravel()
        here = np.bincount(flat, minlength=placement.cores) / flat.size
        load["update"] += here * (counts.neuron_updates_active + counts.neuron_updates_inactive)
        load["active"] += here * counts.neuron_updates_active
        fired = work.firing.get(one.name)
        if fired is not None:
            load["spike"] += np.bincount(flat, fired.T.numpy().ravel(), placement.cores)
            if one.recurrent:
                messages += np.outer(np.bincount(flat, fired.T.numpy().ravel(), placement.cores), here > 0)
                back = float(means(work.layers[f"{one.name}.recurrent"]).synaptic_events)
                load["dense"] += here * back
        sent = work.firing.get(one.source)
        if sent is None or not counts.synaptic_events:
            continue
        arriving = sent.sum(0).numpy() @ one.reach  # of every neuron at a position
        in_time = float(counts.synaptic_events) / (arriving.sum() * one.channels)  # but for those that come too late, all
        load[stage.kind] += np.bincount(flat, np.repeat(arriving, one.channels), placement.cores) * in_time
        reached, first = targets(one, core), int(core.min())
        last = first + reached.shape[1]
        if one.source == INPUT:
            load["axon_in"][first:last] += sent.sum(0).numpy() @ reached
        else:
            source = placement.core[one.source]
            spikes = np.zeros((placement.cores, len(reached)))
            np.add.at(spikes, (source.ravel(), np.repeat(np.arange(len(source)), source.shape[1])), sent.T.numpy().ravel())
            messages[:, first:last] += spikes @ reached
    load["axon_in"] += messages.sum(0)
    load["axon_out"] += messages.sum(1)
    every = np.arange(placement.cores)
    across, down = placement.hops(every[:, None], every[None])
    ins, outs = float(load["axon_in"].sum()), float(messages.sum())
    return Traffic(outs, ins, float((messages * across).sum()), float((messages * down).sum()), load, placement)


def _populations(work: Workload) -> list[Population]:
    """The stages that a chip holds: all but what its host multiplies."""
    found, loops = [], {stage.population for stage in work.stages if stage.kind == "recurrent"}
    for stage in work.stages:
        counts = means(work.layers[stage.name]) if stage.name in work.layers else None
        if counts is None or counts.neuron_updates_active + counts.neuron_updates_inactive == 0:
            continue
        grid = stage.reach.matrix()
        again = stage.population in loops
        found.append(
            Population(stage.population or stage.name, stage.shape[0], grid.shape[1], stage.source, stage.source_shape[0], grid, again)
        )
    return found
