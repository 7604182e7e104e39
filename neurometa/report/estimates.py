"""The content of estimate.json as text for a terminal."""

from typing import Any

from neurometa.experiment.estimation import BREAK_EVEN

_UNITS = ((1e9, "J"), (1e6, "mJ"), (1e3, "uJ"), (1, "nJ"), (1e-3, "pJ"))
_TIMES = ((1e6, "s"), (1e3, "ms"), (1, "us"), (1e-3, "ns"))
_COUNTS = ("synaptic_events", "spikes", "neuron_updates_active", "neuron_updates_inactive", "dense_macs", "effective_macs", "effective_acs",
           "host_macs", "host_operations", "backward_macs", "optimiser_macs", "synaptic_updates", "trace_updates", "learning_signals",
           "weight_writes")  # fmt: skip


def lines(answer: dict[str, Any]) -> list[str]:
    """What to print, one line each; where a comparison's sides differ, the first says so."""
    found = []
    if answer["differences"]:
        found += [f"not like for like: the two sides differ in {'; '.join(answer['differences'])}", ""]
    for side in answer["runs"]:
        for phase, counts in side["counts"].items():
            sample = "query" if phase == "inference" else "support set"
            found += [f"{side['run']}, {phase}: one {sample}, mean of {counts['samples']}"]
            found += [f"  counted: {_counted(counts)}"]
            if counts["spike_rate"] is not None:
                found += [f"  spikes a neuron and step: {100 * counts['spike_rate']:.1f} %; published break-even: {BREAK_EVEN}"]
            found += [*_rows(answer, side["run"], phase), ""]
    found += _beneath(answer)
    return found


def energy(nanojoule: float) -> str:
    """An energy in the unit that suits it."""
    return _scaled(nanojoule, _UNITS)


def duration(microsecond: float) -> str:
    """A duration in the unit that suits it."""
    return _scaled(microsecond, _TIMES)


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    scale, unit = next(((scale, unit) for scale, unit in units if value >= scale), units[-1])
    return f"{value / scale:.3g} {unit}"


def _counted(counts: dict[str, Any]) -> str:
    said = []
    for name in _COUNTS:
        if name in counts["total"]:
            mean, ci95 = counts["total"][name]["mean"], counts["total"][name]["ci95"]
            said.append(f"{mean:.4g}{f' ± {ci95:.2g}' if ci95 else ''} {name.replace('_', ' ')}")
    return "; ".join(said) or "nothing"


def _rows(answer: dict[str, Any], run: str, phase: str) -> list[str]:
    """One line a chip, and one for the profiles of a chip together."""
    found = [f"  {'chip':<26}{'energy':>10}  {'from':>9} {'to':>9}   {'latency':>9}  {'static':<7} largest parts"]
    for one in answer["estimates"]:
        if (one["run"], one["phase"]) == (run, phase):
            name = f"{one['chip']} {one['profile']}".strip()
            said = one["energy_nj"]
            latency = "unknown" if one["latency_us"] is None else duration(one["latency_us"]["value"])
            parts = sorted(one["parts"].items(), key=lambda part: -part[1]["value"])[:3]
            whole = said["value"] or 1
            shares = ", ".join(f"{part.replace('_', ' ')} {100 * ends['value'] / whole:.0f} %" for part, ends in parts)
            ends = f"{energy(said['value']):>10}  {energy(said['low']):>9} {energy(said['high']):>9}"
            found.append(f"  {name:<26}{ends}   {latency:>9}  {'in' if one['includes_static'] else 'out':<7} {shares}")
    for one in answer["spread"]:
        if (one["run"], one["phase"]) == (run, phase):
            said = one["energy_nj"]
            name = f"{one['chip']} all profiles"
            found.append(f"  {name:<26}{energy(said['value']):>10}  {energy(said['low']):>9} {energy(said['high']):>9}")
    return found


def _beneath(answer: dict[str, Any]) -> list[str]:
    """Assumptions, what is left out, and chips that cannot: each said once, with the chips that it holds for."""
    found = []
    for title, key in (("assumed", "notes"), ("left out", "left_out")):
        said: dict[str, list[str]] = {}
        for one in answer["estimates"]:
            for sentence in one[key]:
                names = said.setdefault(sentence, [])
                name = f"{one['chip']} {one['profile']}".strip()
                names += [] if name in names else [name]
        found += [f"{title}: {sentence} ({', '.join(names)})" for sentence, names in said.items()]
    refused: dict[str, str] = {}
    for one in answer["unavailable"]:
        refused.setdefault(f"{one['run']}, {one['phase']}, {one['chip']}", one["why"])
    found += [f"not possible: {where}: {why}" for where, why in refused.items()]
    kinds = sorted({kind for one in answer["estimates"] for kind in one["kinds"]})
    found.append("accuracy is that of the simulation in 32-bit floating point; what a chip's own precision costs is not measured here")
    return [*found, f"kinds of number used: {', '.join(kinds)}; every one with its source: --json"]
