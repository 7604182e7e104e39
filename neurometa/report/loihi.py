"""On Loihi: what `neurometa export` found of one run, and one query's spikes in the float network and on the chip, overlaid."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurometa.report.activity import thin
from neurometa.report.figures import Drawing
from neurometa.report.markup import Figures, facts, paragraph, section, table
from neurometa.report.read import Reading
from neurometa.report.style import INK, LINE, MUTED, SERIES, Number, axes, canvas

KINDS = (("both", SERIES[0], "s"), ("float only", SERIES[1], "x"), ("chip only", SERIES[3], "+"))


def loihi(run: Reading, show: Figures, level: int = 2) -> str:
    """The section; empty where nothing was exported."""
    if run.export is None:
        return ""
    told = run.export
    parts = [paragraph(_opening(told)), _accuracy(told), _needs(told), _layers(told)]
    drawing = overlay(run)
    return section("On Loihi", *parts, show.show(drawing) if drawing else "", level=level)


def _opening(told: dict[str, Any]) -> str:
    need = told["resources"]
    placed = f"{need['cores']} cores on {need['chips']} chip(s)" if need["fits"] else f"more than the chip has: {need['why']}"
    what = "The network and its readout, which learns there," if _learns(told) else "The network below the readout"
    sentence = f"{what} as integers: {told['steps']} time steps a window, {need['compartments']:,} compartments, "
    learning = (
        f" An episode takes {told['learning']['steps']:,} time steps; its rule is dw = {told['learning']['dw']}." if _learns(told) else ""
    )
    return (
        f"{sentence}{need['synapses']:,} synapses, {placed} ({need['chip']}).{learning} "
        "Lava and the emulator run on this computer, not on the chip."
    )


def _learns(told: dict[str, Any]) -> bool:
    """Whether the readout learns on the chip."""
    return told.get("learning", {}).get("where") == "chip"


def _accuracy(told: dict[str, Any]) -> str:
    verify = told["verify"]
    if not verify:
        return paragraph("It was not verified: neurometa export --verify emulator judges both on the same episodes.", kind="missing")
    rows = [["float network", f"{verify['accuracy_float']:.2f} ± {verify['ci95_float']:.2f} %"]]
    rows.append(["integer emulator", f"{verify['accuracy_integer']:.2f} ± {verify['ci95_integer']:.2f} %"])
    if verify["against"] == "lava":
        rows.append(["Lava", f"{verify['accuracy_lava']:.2f} ± {verify['ci95_integer']:.2f} %"])
    compared, seen = verify.get("compared"), ""
    if compared:
        learnt, windows = (f" and {compared['weights']:,} weights", "episodes") if "weights" in compared else ("", "windows")
        seen = f" Of {compared['spikes']:,} spikes{learnt} in {compared['samples']:,} {windows}, {compared['differing']:,} differ in Lava."
    lost = f"{verify['lost']['mean']:.2f} ± {verify['lost']['ci95']:.2f} points on the same episodes."
    lost = f"Lost {'on the chip' if _learns(told) else 'by rounding'}: {lost}"
    return table(f"Accuracy on {verify['episodes']} episodes of unseen classes", ["Played by", "Accuracy"], rows) + paragraph(lost + seen)


def _needs(told: dict[str, Any]) -> str:
    need = told["resources"]
    pairs: list[tuple[str, object]] = [("Synapse memory", f"{need['synapse_bytes'] / 1024:,.0f} KB")]
    if need.get("programmed"):  # of an export.json from before there were such
        pairs.append(("Adaptive thresholds, a programmed neuron", ", ".join(need["programmed"])))
    limits = {"axons_in": "axons_in_per_core", "axons_out": "axons_out_per_core", "synapse_bytes": "synapse_bytes_per_core"}
    for key, limit in limits.items():
        if need["fullest"] and limit in need["limits"]:
            pairs.append((f"Fullest core, {key.replace('_', ' ')}", f"{need['fullest'][key]:,} of {need['limits'][limit]:,}"))
    return facts(pairs)


def _layers(told: dict[str, Any]) -> str:
    needs = {layer["layer"]: layer for layer in told["resources"]["layers"]}
    rows = []
    for one in told["rounding"]:
        need = needs[one["layer"]]
        cells = (
            f"{need['fan_in']:,}",
            f"{need['fan_out']:,}",
            f"{one['weight_rms']:.2f} %",
            f"{one['clipped']:,}",
            f"{one['bias_max']:.2f} %",
        )
        rows.append([one["layer"], f"{need['compartments']:,}", *cells])
    head = ["Layer", "Compartments", "Fan-in", "Fan-out", "Weight error", "Clipped", "Bias error"]
    return table("Layers; errors in percent of the largest weight (root mean square) and of the threshold", head, rows)


def overlay(run: Reading) -> Drawing | None:
    """One query's spikes in both."""
    arrays = run.spikes or {}
    layers = {str(name): (arrays[f"float/{name}"], arrays[f"chip/{name}"]) for name in arrays.get("layers", ()) if f"chip/{name}" in arrays}
    if not layers:
        return None
    said = []
    for name, (floats, chip) in layers.items():
        said.append(f"{name}: {int(floats.sum()):,} spikes, {int(chip.sum()):,} on the chip, {int((floats != chip).sum()):,} in one only")
    caption = "One image in the float network and on the chip, each layer's window laid over the other's. "
    return Drawing("loihi", lambda width: _draw(layers, width), f"Spikes of one query: {'; '.join(said)}.", caption + "; ".join(said) + ".")


def _draw(layers: dict[str, tuple[np.ndarray, np.ndarray]], width: Number) -> Figure:
    across = min(len(layers), 4 if width > 500 else 2)
    down, panel, gap, left = -(-len(layers) // across), 270, 26, 30
    figure = canvas(width, panel * down + 30)
    size = (width - left - gap * (across - 1) - 8) / across
    for k, (name, (floats, chip)) in enumerate(layers.items()):
        ax = axes(figure, left + (k % across) * (size + gap), (k // across) * panel + 34, size, panel - 70)
        _panel(ax, floats, chip)
        ax.set_title(name, loc="left", fontsize=14, fontweight="bold", color=INK)
    legend = axes(figure, left, panel * down, width - left, 26)
    legend.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    for i, (label, colour, mark) in enumerate(KINDS):
        legend.plot(0.02 + i * 0.33, 0.5, mark, color=colour, ms=6)
        legend.text(0.045 + i * 0.33, 0.5, label, fontsize=12, color=MUTED, va="center")
    return figure


def _panel(ax: Axes, floats: np.ndarray, chip: np.ndarray) -> None:
    one, other = thin(floats).astype(bool), thin(chip).astype(bool)
    time, neurons = one.shape
    for spikes, (_, colour, mark) in zip((one & other, one & ~other, other & ~one), KINDS, strict=True):
        when, who = np.nonzero(spikes)
        ax.plot(when + 1, who, mark, color=colour, ms=1.8 if mark == "s" else 6, mew=0 if mark == "s" else 1.6, rasterized=False)
    ax.set(xlim=(0.5, time + 0.5), ylim=(-1, neurons), yticks=[])
    ax.set_xticks(range(1, time + 1) if time < 6 else (1, (time + 1) // 2, time))
    ax.spines[["left", "bottom"]].set(visible=True, color=LINE)
    ax.set_xlabel("time step", fontsize=12, color=INK)
