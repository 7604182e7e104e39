"""Two learners side by side: in what they differ, and how many times as much the first one costs."""

from typing import Any

SIDES = (0, 1)
"""Places in `runs` of the two that are compared."""

LISTED = 2
"""So many process nodes or precisions a side are named one by one; more are only said to differ."""


def differences(answer: dict[str, Any]) -> list[str]:
    """In what the two sides of a comparison differ, other than in what they cost: accuracy, process node, precision."""
    found = []
    a, b = (entry["accuracy"] for entry in answer["runs"])
    if a != b:
        found.append(f"accuracy ({percent(a)} against {percent(b)})")
    for what in ("node", "precision"):
        used = [sorted({str(entry[what] or "unknown") for entry in answer["estimates"] if entry["side"] == side}) for side in SIDES]
        if used[0] != used[1] or len(used[0]) > 1 or "unknown" in used[0]:
            short = max(map(len, used)) <= LISTED
            found.append(
                f"{what} ({', '.join(used[0]) or 'none'} against {', '.join(used[1]) or 'none'})" if short else f"{what} of the chips"
            )
    return found


def percent(accuracy: dict[str, float | None]) -> str:
    """An accuracy with its interval, where it has one; a regression has none."""
    if accuracy["mean"] is None:
        return "a regression"
    return f"{accuracy['mean']:.2f} ± {accuracy['ci95']:.2f} %" if accuracy["ci95"] is not None else f"{accuracy['mean']:.2f} %"


def ratios(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """How many times as much the first side costs, for each phase: each side on a chip of its own, then both on the same.

    The same chip is a digital circuit where both can use one, as it prices each side's operations in their own way, else the one that costs
    the second side least; a lower bound from peak numbers is none. On chips of their own, a spiking side takes the cheapest estimate in
    which nothing of weight is missing, a conventional side the cheapest of all but those lower bounds: where the choice favours anybody, it
    is not spikes.

    Returns:
        `phase`, `kind` ("same chip" or "own chips"), `chips` (names of the two cards), `ratio` ({"low", "value", "high"}; low is the
        first side's low over the second side's high), `verdict` ("less", "more", or "undecided" where the range crosses 1).
    """
    found = []
    for phase in ("inference", "adaptation"):
        usable = [[one for one in _of(answer, side, phase) if one["model"] != "bound"] for side in SIDES]
        shared = {_name(one) for one in usable[0]} & {_name(one) for one in usable[1]}
        common = [sorted((one for one in side if _name(one) in shared), key=_name) for side in usable]
        pairs = [("same chip", min(zip(*common, strict=True), key=_preferred, default=None))]
        if any(_spiking(answer, side) for side in SIDES):
            own = [_cheapest(_spiking(answer, side), ones) for side, ones in zip(SIDES, usable, strict=True)]
            pairs.insert(0, ("own chips", (own[0], own[1]) if own[0] and own[1] and _name(own[0]) != _name(own[1]) else None))
        found += [_ratio(phase, kind, *pair) for kind, pair in pairs if pair and all(_value(one) for one in pair)]
    return found


def _preferred(pair: tuple[dict[str, Any], dict[str, Any]]) -> tuple[bool, float]:
    return pair[1]["model"] != "digital", _value(pair[1])


def _of(answer: dict[str, Any], side: int, phase: str) -> list[dict[str, Any]]:
    return [one for one in answer["estimates"] if one["side"] == side and one["phase"] == phase]


def _spiking(answer: dict[str, Any], side: int) -> bool:
    return answer["runs"][side]["counts"]["inference"]["spike_rate"] is not None


def _cheapest(spiking: bool, ones: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Of its own kind of chip; see `ratios`."""
    native = [one for one in ones if (one["model"] == "event") == spiking]
    whole = [one for one in native if not one["lower_bound"]] if spiking else native
    return min(whole or native, key=_value, default=None)


def _ratio(phase: str, kind: str, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    first, second = a["energy_nj"], b["energy_nj"]
    low, value, high = first["low"] / second["high"], first["value"] / second["value"], first["high"] / second["low"]
    verdict = "less" if high < 1 else "more" if low > 1 else "undecided"
    bounds = [one["lower_bound"] for one in (a, b)]
    ends = {"low": low, "value": value, "high": high}
    return {"phase": phase, "kind": kind, "chips": [_name(a), _name(b)], "lower_bounds": bounds, "ratio": ends, "verdict": verdict}


def _value(one: dict[str, Any]) -> float:
    return one["energy_nj"]["value"]


def _name(one: dict[str, Any]) -> str:
    return f"{one['chip']}-{one['profile']}" if one["profile"] else one["chip"]
