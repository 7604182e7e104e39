"""Put a result of the window benchmark into the documentation: its table and its figure.

    python -m experiments.speed.lif --json > speed.json
    python -m experiments.speed.publish speed.json

The table goes between two markers of docs/speed.md, the figure to docs/assets/speed.png.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WORDS = {
    "neurometa": "neurometa",
    "snntorch": "snnTorch",
    "spikingjelly": "SpikingJelly",
    "norse": "Norse",
    "sinabs": "sinabs",
    "loop": "plain loop",
    "products": "products alone",
}


def table(result: dict[str, Any]) -> str:
    """The Markdown between the markers."""
    machine = ", ".join(f"{name} {number}" for name, number in result["machine"].items() if name != "processor")
    picture = "![Time of each library over ours, forward and backward, one thread; the line is ours.](assets/speed.png)"
    parts = [picture, f"{result['machine']['processor']}; {machine}; {result['date']}; medians of at least {result['rounds']} rounds."]
    for threads, cases in result["seconds"].items():
        modes = list(next(iter(cases.values())))
        for mode in modes:
            rows = [(case, {name: _time(value, by[mode]["neurometa"]) for name, value in by[mode].items()}) for case, by in cases.items()]
            title = f"Milliseconds, {mode.replace('+', ' and ')}, {threads} thread{'s' * (int(threads) > 1)} (and how many times ours)"
            parts += [f"**{title}**", _markdown(rows)]
    if result["peak_mb"]:
        rows = [(case, {name: f"{value:.0f}" for name, value in row.items()}) for case, row in result["peak_mb"].items()]
        parts += ["**Peak memory above what was there before, MB, forward and backward, one thread**", _markdown(rows)]
    return "\n\n".join([*parts, losses(result)])


def losses(result: dict[str, Any]) -> str:
    """Where somebody else was faster or smaller, in words."""
    found = [
        f"{WORDS[name]} is {by['neurometa'] / value:.1f} times faster on {case}, {mode.replace('+', ' and ')}, {threads} thread(s)"
        for threads, cases in result["seconds"].items()
        for case, modes in cases.items()
        for mode, by in modes.items()
        for name, value in by.items()
        if name not in ("neurometa", "products") and value < by["neurometa"]
    ]
    found += [
        f"{WORDS[name]} takes less memory on {case} ({value:.0f} MB against {row['neurometa']:.0f})"
        for case, row in result["peak_mb"].items()
        for name, value in row.items()
        if name not in ("neurometa", "products") and value < row["neurometa"]
    ]
    return "Where we lose: " + ("; ".join(found) if found else "in none of these") + "."


def _time(value: float, ours: float) -> str:
    return f"{1e3 * value:.1f}" if value == ours else f"{1e3 * value:.1f} ({value / ours:.1f})"


def _markdown(rows: list[tuple[str, dict[str, str]]]) -> str:
    names = list(rows[0][1])
    lines = [["", *(WORDS[name] for name in names)], ["---"] * (len(names) + 1), *([case, *row.values()] for case, row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture(result: dict[str, Any]) -> Figure:
    """One bar for each contestant and case: its time over ours, forward and backward, one thread."""
    names = [name for name in WORDS if name != "neurometa"]
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(names):
        places = [j + (i - len(names) / 2 + 0.5) / (len(names) + 1) for j in range(len(result["ratios"]))]
        heights = [row.get(name, float("nan")) for row in result["ratios"].values()]
        axes.bar(places, heights, 0.9 / (len(names) + 1), label=WORDS[name])
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_ylabel("time / neurometa's time, forward and backward")
    axes.set_xticks(range(len(result["ratios"])), list(result["ratios"]))
    axes.legend(ncols=6, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, help="what `python -m experiments.speed.lif --json` printed")
    result = json.loads(parser.parse_args().result.read_text(encoding="utf-8"))
    page = DOCS / "speed.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{table(result)}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")
    picture(result).savefig(DOCS / "assets/speed.png", dpi=160)


if __name__ == "__main__":
    main()
