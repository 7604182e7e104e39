"""The content of estimate.json as text for a terminal: what was compared, the ratio, one table, and what stands beneath it."""

import re
from typing import Any

from neurometa.experiment.comparison import SIDES, percent
from neurometa.experiment.estimation import BREAK_EVEN, BREAK_EVEN_RATE

_UNITS = ((1e9, "J"), (1e6, "mJ"), (1e3, "uJ"), (1, "nJ"), (1e-3, "pJ"))
_TIMES = ((1e6, "s"), (1e3, "ms"), (1, "us"), (1e-3, "ns"))
_COUNTS = ("synaptic_events", "spikes", "neuron_updates_active", "neuron_updates_inactive", "dense_macs", "effective_macs", "effective_acs",
           "host_macs", "host_operations", "backward_macs", "optimiser_macs", "synaptic_updates", "trace_updates", "learning_signals",
           "weight_writes")  # fmt: skip
_PHASES = {"inference": "one query", "adaptation": "one support set"}
_VERDICTS = {"less": "it costs less", "more": "it costs more", "undecided": "undecided, the range crosses 1"}


def lines(answer: dict[str, Any]) -> list[str]:
    """What to print, one line each; where a comparison's sides differ, the first says so."""
    found = [_opening(answer), *_ratios(answer), *_rates(answer), ""]
    for phase, sample in _PHASES.items():
        found += [f"{phase}: {sample}", *(_pairs(answer, phase) if _compares(answer) else _rows(answer, phase)), ""]
    found += [f"not possible: {sentence}" for sentence in unavailable(answer)]
    return [*found, *_notes(answer)]


def energy(nanojoule: float) -> str:
    """An energy in the unit that suits it."""
    return _scaled(nanojoule, _UNITS)


def duration(microsecond: float) -> str:
    """A duration in the unit that suits it."""
    return _scaled(microsecond, _TIMES)


def bounded(one: dict[str, Any]) -> str:
    """An estimate's energy, marked where something of weight is left out."""
    return f"{'>= ' if one['lower_bound'] else ''}{energy(one['energy_nj']['value'])}"


def name(one: dict[str, Any]) -> str:
    """Chip and profile."""
    return f"{one['chip']} {one['profile']}".strip()


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    scale, unit = next(((scale, unit) for scale, unit in units if value >= scale), units[-1])
    return f"{_short(value / scale)} {unit}"


def _short(number: float) -> str:
    """Three digits, never an exponent."""
    return f"{number:.3g}" if number < 999.5 else f"{number:,.0f}"


def _compares(answer: dict[str, Any]) -> bool:
    return len(answer["runs"]) == len(SIDES)


def _opening(answer: dict[str, Any]) -> str:
    """What was estimated, in one sentence."""
    told = [
        f"{run['run']} ({'spiking' if _rate(run) is not None else 'conventional'}, {percent(run['accuracy'])})" for run in answer["runs"]
    ]
    if not _compares(answer):
        return (
            f"{told[0]}: energy and latency of one query (inference) and of learning one support set (adaptation), from published numbers"
        )
    unlike = f"not like for like: the two sides differ in {'; '.join(answer['differences'])}" if answer["differences"] else ""
    return f"{unlike or 'like for like'}. A = {told[0]}, B = {told[1]}"


def _rate(run: dict[str, Any]) -> float | None:
    return run["counts"]["inference"]["spike_rate"]


def _ratios(answer: dict[str, Any]) -> list[str]:
    found = []
    for one in answer.get("ratios", []):
        ends, (a, b) = one["ratio"], one["chips"]
        marked = [f"{chip}{', a lower bound' if bound else ''}" for chip, bound in zip((a, b), one["lower_bounds"], strict=True)]
        where = f"both on {marked[0]}" if one["kind"] == "same chip" else f"A on {marked[0]}; B on {marked[1]}"
        times = f"A / B = {_short(ends['value'])} ({_short(ends['low'])} to {_short(ends['high'])})"
        found.append(f"{one['phase']}: {times}, {_VERDICTS[one['verdict']]} ({where})")
    priced = {one["side"] for one in answer["estimates"]}
    without = " and ".join(run["run"] for side, run in enumerate(answer["runs"]) if side not in priced)
    if _compares(answer) and not found and without:
        found.append(f"nothing is compared: no chip here takes {without}; name one that does with another --chip, or leave --chip out")
    return found


def _rates(answer: dict[str, Any]) -> list[str]:
    """Each spiking side's rate beside the published break-even."""
    found = []
    for letter, run in zip("AB", answer["runs"], strict=False):
        if (rate := _rate(run)) is not None:
            side = "above" if rate > BREAK_EVEN_RATE else "below"
            who = letter if _compares(answer) else run["run"]
            found.append(f"{who} spikes {100 * rate:.1f} % of the time, {side} the published break-even of {BREAK_EVEN}")
    return found


def _shown(ends: dict[str, float], bound: bool) -> tuple[str, str]:
    """Value with its unit, and the range in the same unit; of a lower bound only what it is above."""
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if ends["value"] >= scale), _UNITS[-1])
    if bound:
        return f">= {_short(ends['value'] / scale)} {unit}", f"({_short(ends['low'] / scale)} ..)"
    return f"{_short(ends['value'] / scale)} {unit}", f"({_short(ends['low'] / scale)} .. {_short(ends['high'] / scale)})"


def _cell(one: dict[str, Any] | None) -> str:
    """Energy, its range and latency: 37 letters."""
    if one is None:
        return f"{'-':>11}{'':>26}"
    value, ends = _shown(one["energy_nj"], one["lower_bound"])
    latency = "?" if one["latency_us"] is None else duration(one["latency_us"]["value"])
    return f"{value:>11} {ends:<16}{latency:>9}"


def _sorted(answer: dict[str, Any], phase: str, side: int) -> dict[str, dict[str, Any]]:
    """The side's estimates by name, cheapest first."""
    ones = [one for one in answer["estimates"] if (one["side"], one["phase"]) == (side, phase)]
    return {name(one): one for one in sorted(ones, key=lambda one: one["energy_nj"]["value"])}


def _pairs(answer: dict[str, Any], phase: str) -> list[str]:
    """One line a chip, the two sides next to each other."""
    a, b = (_sorted(answer, phase, side) for side in SIDES)
    found = [f"  {'chip':<24}{'A':>11} {'(range)':<16}{'latency':>9}   {'B':>11} {'(range)':<16}{'latency':>9}   {'A / B':>6}"]
    for chip in (*a, *(chip for chip in b if chip not in a)):
        one, other = a.get(chip), b.get(chip)
        both = one and other and other["energy_nj"]["value"]
        ratio = _short(one["energy_nj"]["value"] / other["energy_nj"]["value"]) if both else ""  # type: ignore[index]
        found.append(f"  {chip:<24}{_cell(one)}   {_cell(other)}   {ratio:>6}".rstrip())
    return found


def _rows(answer: dict[str, Any], phase: str) -> list[str]:
    """One line a chip."""
    found = [f"  {'chip':<24}{'energy':>11} {'(range)':<16}{'latency':>9}   {'static':<8}largest parts"]
    for chip, one in _sorted(answer, phase, 0).items():
        whole = one["energy_nj"]["value"] or 1
        parts = sorted(one["parts"].items(), key=lambda part: -part[1]["value"])[:3]
        shares = ", ".join(f"{part.replace('_', ' ')} {100 * ends['value'] / whole:.0f} %" for part, ends in parts)
        found.append(f"  {chip:<24}{_cell(one)}   {'in' if one['includes_static'] else 'out':<8}{shares}")
    return found


def unavailable(answer: dict[str, Any]) -> list[str]:
    """Chips that cannot, grouped by learner, phase and reason."""
    said: dict[tuple[str, str], dict[str, list[str]]] = {}
    for one in answer["unavailable"]:
        card = f"{one['chip']}-{one['profile']}" if one["profile"] else one["chip"]
        reason = one["why"].removeprefix(card).strip()
        chips = said.setdefault((one["run"], reason), {}).setdefault(one["phase"], [])
        chips += [] if one["chip"] in chips else [one["chip"]]
    found = []
    for (run, reason), phases in said.items():
        alike = len(phases) == len(_PHASES) and len({tuple(chips) for chips in phases.values()}) == 1
        for phase, chips in list(phases.items())[: 1 if alike else None]:
            count = f"{len(chips)} chip{'s' if len(chips) > 1 else ''}"
            found.append(f"{run}{'' if alike else f', {phase}'}: {count} ({reason}: {', '.join(chips)})")
    return found


def _notes(answer: dict[str, Any]) -> list[str]:
    """What was counted; assumptions and what is left out, each once for the chips that it holds for."""
    found = [line for run in answer["runs"] for line in _counted(run)]
    found += [f"assumed: {sentence}" for sentence in by_chips(answer, "notes")]
    found += [f"left out: {sentence}" for sentence in by_chips(answer, "left_out")]
    kinds = sorted({kind for one in answer["estimates"] for kind in one["kinds"]})
    found.append(">= is a lower bound: leakage, or something that the chip does, has no published number")
    found.append("accuracy is that of the simulation in 32-bit floating point; what a chip's own precision costs is not measured here")
    return [*found, f"kinds of number used: {', '.join(kinds)}; every one with its source: --json"]


def _counted(run: dict[str, Any]) -> list[str]:
    """One line a count: mean and 95 % interval, both phases beside each other."""
    phases = [run["counts"][phase] for phase in _PHASES]
    shown = [what for what in _COUNTS if any(what in counts["total"] for counts in phases)]
    heads = [f"{sample} (of {counts['samples']})" for sample, counts in zip(_PHASES.values(), phases, strict=True)]
    found = [f"counted: {run['run']:<25}{heads[0]:<26}{heads[1]}"]
    for what in shown:
        cells = [_count(counts["total"].get(what)) for counts in phases]
        found.append(f"  {what.replace('_', ' '):<32}{cells[0]:<26}{cells[1]}".rstrip())
    return [*found, ""]


def _count(one: dict[str, float | None] | None) -> str:
    """A mean and its interval in thousands, millions or billions."""
    if one is None:
        return "-"
    scale, unit = next(((scale, unit) for scale, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if one["mean"] >= scale), (1, ""))  # type: ignore[operator]
    spread = f" ± {_short(one['ci95'] / scale)}" if one["ci95"] else ""
    return f"{_short(one['mean'] / scale)}{spread}{unit}"  # type: ignore[operator]


def by_chips(answer: dict[str, Any], key: str) -> list[str]:
    """Sentences without the counts that some begin with, those of the same chips joined: `sentence; sentence (chip, chip)`."""
    chips: dict[str, list[str]] = {}
    for one in answer["estimates"]:
        for sentence in one[key]:
            holds = chips.setdefault(re.sub(r"^[\d,]+ ", "", sentence), [])
            holds += [] if one["chip"] in holds else [one["chip"]]
    groups: dict[tuple[str, ...], list[str]] = {}
    for sentence, holds in chips.items():
        groups.setdefault(tuple(holds), []).append(sentence)
    return [f"{'; '.join(sentences)} ({', '.join(holds)})" for holds, sentences in groups.items()]
