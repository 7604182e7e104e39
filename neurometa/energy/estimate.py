"""Energy and latency of a counted workload on a chip: low, value and high, and what each part of it costs.

    E = sum_cores [ N_syn E_syn + N_act E_act + N_inact E_inact + N_hop E_hop + N_upd E_upd ] + P_static t
    t_step = max over cores (N_syn t_syn + N_neu t_neu + N_upd t_upd) + t_sync(tiles),    t = windows (T + layers) t_step

A count whose energy nobody has published adds nothing and is named in `left_out`. Ranges come from the card alone; how much the counts
themselves vary from sample to sample is said beside them.
"""

import math
from typing import NamedTuple

from neurometa.chips.card import Card, Figure
from neurometa.chips.quantity import ENERGY, TIME, Quantity, largest, quantity, zero
from neurometa.energy import conventional
from neurometa.energy.counts import Counts
from neurometa.energy.events import UNPRICED, amounts, left_out
from neurometa.energy.traffic import Traffic, route
from neurometa.energy.workload import Workload
from neurometa.errors import UserError

THROTTLED = quantity(1, "ms")
"""A time step that is held to real time, unless another one is asked for."""


class Settings(NamedTuple):
    """How a chip is run.

    Attributes:
        static: whether leakage and idling count.
        step: length of a time step where it is held to one; None lets the chip run as fast as it can, where that is known.
        batch: examples that a conventional board works on together.
        chips: how many chips are in use; None: as many as the network needs.
    """

    static: bool = True
    step: Quantity | None = None
    batch: int = 1
    chips: int | None = None


DEFAULT = Settings()

WEIGHTY = (*UNPRICED, "leakage", "idle power", "everything but multiplications", "starting the work, memory, idling")
"""What makes an estimate a lower bound where it is left out; what a host does, and bringing the input in, does not."""


class Estimate(NamedTuple):
    """What one sample of a workload costs on one chip: a query, or an adaptation.

    Attributes:
        card: the chip.
        phase: of the workload.
        energy: the sum of the parts.
        latency: None where no time is known.
        parts: energy by event; `static` is leakage and idling, `clock` a clock that always runs.
        figures: the published numbers that went in, by name.
        left_out: what was counted, or is known to cost, and is not in the energy.
        notes: assumptions of this estimate.
        timing: "free-running", "throttled", "batch", or "unknown".
        settings: how the chip was run.
        cores, chips: in use; 0 cores where the card says nothing about them.
    """

    card: Card
    phase: str
    energy: Quantity
    latency: Quantity | None
    parts: dict[str, Quantity]
    figures: dict[str, Figure]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    timing: str
    settings: Settings
    cores: int
    chips: int

    @property
    def lower_bound(self) -> bool:
        """Whether something of weight is not in the energy: leakage, or an operation of the network or of its learning."""
        return any(sentence.endswith(WEIGHTY) for sentence in self.left_out)


def estimate(card: Card, work: Workload, settings: Settings = DEFAULT) -> Estimate:
    """Estimate one phase on one chip.

    Raises:
        UserError: this chip cannot do this work, or the network does not fit.
    """
    if work.rule == "none" and work.phase == "adaptation":
        return Estimate(card, work.phase, zero(ENERGY), zero(TIME), {}, {}, (), ("nothing adapts",), "unknown", settings, 0, 0)
    if card.model != "event":
        done = conventional.cost(card, work, settings.batch, settings.static)
        return Estimate(card, work.phase, _sum(done.parts), done.latency, done.parts, done.figures, done.left_out, done.notes,
                        "batch" if done.latency else "unknown", settings, 0, 1)  # fmt: skip
    _refuse(card, work)
    traffic = route(card, work) if work.stages else None
    chips = settings.chips or _chips(card, work, traffic)
    counted = amounts(card, work, traffic, chips)
    parts = {name: card.energy[name].quantity * amount for name, amount in counted.items() if name in card.energy and amount > 0}
    figures = {f"energy.{name}": card.energy[name] for name in parts}
    step, timing, used = _step(card, work, traffic, settings)
    latency = None if step is None else step * (work.windows * (work.steps + sum(stage.passes for stage in work.stages)))
    figures |= {f"time.{name}": card.time[name] for name in used}
    if latency is not None and settings.static:
        always, whence = _always(card, latency, chips, traffic)
        parts |= always
        figures |= {name: getattr(card, name.split(".")[0])[name.split(".")[1]] for name in whence}
    missing = left_out(card, work, traffic, static="static" in parts)
    notes = _notes(card, traffic, chips, timing, settings)
    return Estimate(card, work.phase, _sum(parts), latency, parts, figures, missing, notes, timing, settings,
                    traffic.placement.cores if traffic else 0, chips)  # fmt: skip


def census(steps: int = 1, windows: float = 1, phase: str = "inference", **counts: float) -> Workload:
    """A workload from published counts, with no network behind it: `census(synaptic_events=5.12e7, neuron_updates_inactive=4.61e6)`."""
    return Workload(phase, "local", True, False, (), {"census": Counts(**counts)}, {}, steps, windows, 1, 0)


def _sum(parts: dict[str, Quantity]) -> Quantity:
    whole = zero(ENERGY)
    for part in parts.values():
        whole = whole + part
    return whole


def _refuse(card: Card, work: Workload) -> None:
    if not work.spiking:
        raise UserError(f"{card.name} carries spikes, this network has activations: choose a conventional chip, such as digital45-int8")
    if work.phase == "adaptation" and work.rule == "gradient" and not work.readout_only:
        raise UserError(f"{card.name} has no way to carry gradients back through time, which this rule needs to move hidden layers")


def _chips(card: Card, work: Workload, traffic: Traffic | None) -> int:
    if traffic:
        return traffic.placement.chips
    limit = card.limit("neurons")
    return max(1, math.ceil(sum(stage.neurons for stage in work.stages) / limit)) if limit else 1


def _step(card: Card, work: Workload, traffic: Traffic | None, settings: Settings) -> tuple[Quantity | None, str, list[str]]:
    """Length of a time step, what decides it, and which of the card's times went in."""
    if settings.step is not None:
        return settings.step, "throttled", []
    times = {name: figure.quantity for name, figure in card.time.items() if name != "cycle" and not name.startswith("sync_")}
    samples = max(work.windows * work.steps, 1)
    if not times or (traffic is None and any(name.startswith(("axon", "sync")) for name in card.time)):
        return THROTTLED, "throttled", []
    loads = _loads(work, traffic)
    used = [name for name in times if name in loads[0]]
    cores = []
    for load in loads:
        busy = zero(TIME)
        for name in used:
            busy = busy + times[name] * (load[name] / samples)
        cores.append(busy)
    sync, barriers = _barrier(card, traffic.placement.tiles if traffic else 1)
    return largest(cores) + sync, "free-running", [*used, *barriers]


def _loads(work: Workload, traffic: Traffic | None) -> list[dict[str, float]]:
    """What each core does in a sample; without a placement one core does it all. Synaptic updates are spread evenly."""
    whole = work.total
    if traffic is None:
        updates = whole.neuron_updates_active + whole.neuron_updates_inactive
        return [
            {
                "synaptic_event": float(whole.synaptic_events),
                "neuron_update": float(updates),
                "synaptic_update": float(whole.synaptic_updates),
            }
        ]
    load, each = traffic.load, float(whole.synaptic_updates) / traffic.placement.cores
    return [
        {
            "synaptic_event": float(load["conv"][i] + load["dense"][i]),
            "synaptic_event_conv": float(load["conv"][i]),
            "synaptic_event_dense": float(load["dense"][i]),
            "neuron_update_active": float(load["active"][i]),
            "neuron_update_inactive": float(load["update"][i] - load["active"][i]),
            "neuron_access": float(load["update"][i]),
            "neuron_change": float(load["active"][i]),
            "spike": float(load["spike"][i]),
            "axon_in": float(load["axon_in"][i]),
            "axon_out": float(load["axon_out"][i]),
            "synaptic_update": each,
        }
        for i in range(traffic.placement.cores)
    ]


def _barrier(card: Card, tiles: int) -> tuple[Quantity, list[str]]:
    """Time of the barrier between steps, interpolated in the number of tiles; beyond the table its last entry."""
    table = sorted((int(name[5:]), name) for name in card.time if name.startswith("sync_"))
    if not table:
        return zero(TIME), []
    below = [entry for entry in table if entry[0] <= tiles] or table[:1]
    above = [entry for entry in table if entry[0] >= tiles] or table[-1:]
    (a, first), (b, second) = below[-1], above[0]
    share = 0.0 if a == b else (tiles - a) / (b - a)
    return card.time[first].quantity * (1 - share) + card.time[second].quantity * share, sorted({first, second})


def _always(card: Card, time: Quantity, chips: int, traffic: Traffic | None) -> tuple[dict[str, Quantity], list[str]]:
    """Energy of what draws power whether anything happens or not."""
    parts: dict[str, Quantity] = {}
    whence: list[str] = []
    if "static" in card.power:
        power = card.power["static"].quantity * chips
        whence.append("power.static")
        if traffic and "static_core" in card.power:  # the low end lets cores that hold nothing cost nothing
            used = card.power["static_core"].quantity * traffic.placement.cores
            power = Quantity(min(power.low, used.low), power.value, power.high, power.dimension)
            whence.append("power.static_core")
        parts["static"] = power * time
    if "cycle" in card.energy and "cycle" in card.time:
        cycle = card.time["cycle"].quantity
        cycles = Quantity(time.low / cycle.high, time.value / cycle.value, time.high / cycle.low, quantity(1, "1").dimension)
        parts["clock"] = card.energy["cycle"].quantity * cycles * chips
        whence += ["energy.cycle", "time.cycle"]
    return parts, whence


def _notes(card: Card, traffic: Traffic | None, chips: int, timing: str, settings: Settings) -> tuple[str, ...]:
    notes = []
    if traffic:
        where = traffic.placement
        notes.append(f"placed greedily on {where.cores} cores, {where.tiles} tiles, {chips} chips; every connection is stored")
    elif chips > 1:
        notes.append(f"does not fit one chip: taken to be spread over {chips}, their connection costing nothing")
    if timing == "throttled":
        length = (settings.step or THROTTLED).to("ms")["value"]
        notes.append(f"a time step is taken to last {length:g} ms")
    if timing == "free-running":
        notes.append("a time step lasts as long as the busiest core on average, plus the barrier")
    return tuple(notes)
