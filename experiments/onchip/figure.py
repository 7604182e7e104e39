"""Draw docs/assets/onchip.png: one episode on the chip, spike by spike, from the first look at five characters to the answers.

python -m experiments.onchip.figure
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.onchip.features import BODY
from experiments.onchip.judge import FEATURES, WAYS, Drawn, drawn, features, shown, some
from experiments.onchip.learner import LEARNERS, Kind, learner
from neurometa.experiment import build, folder
from neurometa.export import bundle as bundles
from neurometa.export.learning import learn
from neurometa.report.style import INK, LINE, MUTED, SERIES, axes, canvas

OUT = Path(__file__).parents[2] / "docs" / "assets" / "onchip.png"
ROWS = (("features", 64, 150), ("hidden", 64, 150), ("out", WAYS, 60), ("error", 2 * WAYS, 90))
"""Population, its neurons, and the height of its panel in pixels."""


def main() -> None:
    """Draw the first episode of seed 1."""
    run, kind = folder.open_run(Path(BODY)), LEARNERS["copy"]
    task = build.unseen(run.experiment, build.question(run.experiment), None)
    raster(some(drawn(task, 1, 1), slice(0, 1)), kind).savefig(OUT, dpi=144)  # type: ignore[arg-type]


def raster(episode: Drawn, kind: Kind) -> Figure:
    """Spikes of every population over the support, shown several times, and of about half of the queries."""
    queries = np.arange(0, episode.query.shape[1], max(1, episode.query.shape[1] // 10))
    episode = episode._replace(query=episode.query[:, queries], asked=episode.asked[:, queries])
    sent = features(bundles.read(FEATURES), episode.pictures, lambda _: None)
    examples = kind.shown.passes * WAYS
    spikes = learn(learner(kind, examples + len(queries)), shown(sent, episode, kind)).spikes
    figure, top = canvas(860, 596), 34
    for name, size, height in ROWS:
        ax = axes(figure, 70, top, 780, height)
        when, who = np.nonzero(spikes[name][..., 0])
        ax.plot(when, who, "|", color=SERIES[1] if name == "error" else SERIES[0], ms=max(2.0, 0.6 * height / size), mew=1.2)
        ax.set(xlim=(0, len(spikes[name])), ylim=(-1, size), xticks=[], yticks=[])
        ax.set_ylabel(name, fontsize=12, color=INK, rotation=0, ha="right", va="center")
        for turn in range(kind.shown.passes + 1):
            ax.axvline(turn * WAYS * kind.shown.period, color=LINE, lw=1, zorder=0)
        if name == "features":
            for turn in range(kind.shown.passes + 1):
                said = f"pass {turn + 1}" if turn < kind.shown.passes else "queries, without teacher"
                ax.text(turn * WAYS * kind.shown.period + 2, size + 1, said, fontsize=12, color=MUTED, va="bottom")
        if name == ROWS[-1][0]:
            ax.set_xticks(range(0, len(spikes[name]) + 1, 60))
            ax.set_xlabel("time step", fontsize=12, color=INK)
        top += height + 8
    return figure


if __name__ == "__main__":
    main()
