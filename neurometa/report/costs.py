"""The section on energy and latency: what `neurometa estimate` wrote into the run folder, with every assumption beneath."""

from typing import Any

from neurometa.experiment.estimation import BREAK_EVEN_RATE
from neurometa.report import breakdown, estimates, words
from neurometa.report.breakdown import Bar, Rate
from neurometa.report.figures import Drawing
from neurometa.report.markup import Figures, commands, folded, missing, paragraph, section, table, text
from neurometa.report.read import Reading

TITLE = "Energy and latency"
PUBLISHED = (
    Rate("break-even, 5 to 10 steps: 6.4 % (Yan v2)", 6.4, False),
    Rate("break-even, 5 steps: 5.7 % (Yan v4)", 100 * BREAK_EVEN_RATE, False),
)
_SAMPLES = {"inference": "answering one query", "adaptation": "learning one support set"}


def section_of(run: Reading, show: Figures, level: int = 2) -> str:
    """The section; where nothing was estimated, the command that does it."""
    answer = run.estimate
    if not answer or not answer.get("estimates"):
        told = "Nothing is estimated in this folder. This command counts what the network does and prices it with published numbers:"
        return section(TITLE, missing(told), commands([f"neurometa estimate {run.folder}"]), level=level)
    lead = "Estimated, not measured: what the network did was counted, and each operation priced with published numbers. "
    lead += "A range is the sum of all lows to the sum of all highs; ≥ marks a lower bound: leakage, or something that the chip does, has "
    lead += "no published number."
    parts = [paragraph(lead)]
    if drawing := _rate(answer, words.name(run)):
        parts.append(show.show(drawing))
    for phase, sample in _SAMPLES.items():
        ones = sorted((one for one in answer["estimates"] if one["phase"] == phase), key=lambda one: one["energy_nj"]["value"])
        if any(one["energy_nj"]["value"] for one in ones):
            parts += [show.show(_bars(ones, phase, sample)), _table(ones, sample)]
        elif ones:
            parts.append(paragraph(f"For {sample} nothing is done: this learner does not adapt."))
    return section(TITLE, *parts, _assumptions(answer), level=level)


def _rate(answer: dict[str, Any], name: str) -> Drawing | None:
    rate = answer["runs"][0]["counts"]["inference"]["spike_rate"]
    if rate is None:
        return None
    drawn = (Rate(f"{name}: {100 * rate:.1f} %", 100 * rate, True), *PUBLISHED)
    side = "above" if rate > BREAK_EVEN_RATE else "below"
    told = (
        f"A neuron spikes in {100 * rate:.1f} % of the time steps, {side} the published 5.7 %, over which a conventional network of equal "
    )
    told += "precision is expected to cost less (Yan et al., arXiv:2409.08290 v4)."
    return Drawing("break-even", lambda width: breakdown.rate(drawn, width), told, told)


def _bars(ones: list[dict[str, Any]], phase: str, sample: str) -> Drawing:
    bars = [Bar(estimates.name(one), _written(one), breakdown.shares(one["parts"])) for one in ones]
    caption = f"What energy is spent on in {sample}, by chip. Bars are equally long, because energies differ by large factors: "
    caption += "the value is on the right."
    alt = caption + " " + "; ".join(f"{bar.label} {bar.text}" for bar in bars)
    return Drawing(f"energy-{phase}", lambda width: breakdown.breakdown(bars, width), alt, caption)


def _written(one: dict[str, Any]) -> str:
    return estimates.bounded(one).replace(">=", "≥").replace("uJ", "µJ")


def _table(ones: list[dict[str, Any]], sample: str) -> str:
    lines = []
    for one in ones:
        ends, latency = one["energy_nj"], one["latency_us"]
        spread = [estimates.energy(ends[end]).replace("uJ", "µJ") for end in ("low", "high")]
        high = "open" if one["lower_bound"] else spread[1]
        time = estimates.duration(latency["value"]).replace("us", "µs") if latency else "unknown"
        lines.append([estimates.name(one), _written(one), f"{spread[0]} to {high}", time, "in" if one["includes_static"] else "out"])
    title = f"Energy and latency of {sample}"
    return folded(f"{title}: the numbers", table(title, ["Chip", "Energy", "Range", "Latency", "Static power"], lines))


def _assumptions(answer: dict[str, Any]) -> str:
    """Every assumption and what is left out, and folded away every number with its kind and source."""
    said = [
        *(f"Assumed: {one}" for one in estimates.by_chips(answer, "notes")),
        *(f"Left out: {one}" for one in estimates.by_chips(answer, "left_out")),
    ]
    said += [f"Not possible: {one}" for one in estimates.unavailable(answer)]
    said.append("Accuracy is that of the simulation; what a chip's own precision costs is not in it.")
    listed = "<ul>" + "".join(f"<li>{text(one)}</li>" for one in said) + "</ul>"
    lines = [
        [estimates.name(one), *line.split(": ", 1)] for one in answer["estimates"] if one["phase"] == "inference" for line in one["basis"]
    ]
    numbers = table("Published numbers that went into one query", ["Chip", "Number", "Value, kind and source"], lines, words=3)
    return paragraph("Every assumption:") + listed + folded("Every published number, with its kind and source", numbers)
