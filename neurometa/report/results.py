"""The sections that set every run of the page side by side: comparison, accuracy, learning curve."""

from collections.abc import Sequence

from neurometa.report import figures, scores, words
from neurometa.report.markup import Figures, missing, paragraph, section, table
from neurometa.report.read import Reading
from neurometa.report.scores import Evaluated, comparable


def comparison(runs: Sequence[Reading], labels: Sequence[str], show: Figures) -> str:
    """Several runs in one figure and one table; nothing for a single run."""
    drawing = figures.comparison(runs, labels)
    if drawing is None:
        return ""
    alike = comparable(runs)
    lines = []
    for run, label in zip(runs, labels, strict=True):
        one, summary = scores.main(run), run.summary or {}
        fired = f"{summary.get('spikes_per_inference', 0):,.0f}" if words.spiking(run) and run.summary else "none"
        parameters = f"{summary['parameters']:,}" if isinstance(summary.get("parameters"), int) else "not recorded"
        clocks = [words.duration(scores.trained_s(run, clock)) for clock in ("wall_s", "cpu_s")]
        kind = "spiking" if words.spiking(run) else "conventional"
        asked = [] if alike else [one.task if one else "-"]
        lines.append([label, kind, *asked, one.after if one else "not measured", parameters, fired, *clocks])
    what = ["Run", "Network"] if alike else ["Run", "Network", "Problem"]
    head = [*what, "Accuracy", "Parameters", "Spikes per inference", "Trained, wall", "Trained, CPU"]
    first = scores.main(runs[0])
    problem = f" on {first.task} problems" if alike and first else ""
    caption = f"Runs compared{problem}; accuracy on unseen characters with its 95 % interval"
    return section("Side by side", show.show(drawing), table(caption, head, lines, words=len(what)))


def accuracy(runs: Sequence[Reading], labels: Sequence[str], show: Figures) -> str:
    """What adaptation changes, as sentences, a figure and a table of every evaluation."""
    drawing = figures.accuracy(runs, labels)
    if drawing is None:
        why = "No evaluation on unseen characters is recorded: the run is not done, or summary.json is missing."
        return section("Before and after adaptation", missing(why))
    found = [(label, one) for run, label in zip(runs, labels, strict=True) for one in scores.evaluations(run)]
    told = "" if len(runs) > 1 else paragraph(*_told(found[0][1]))
    return section("Before and after adaptation", told, show.show(drawing), _table(found, len(runs) > 1))


def _told(one: Evaluated) -> list[str]:
    told = []
    if one.before is not None and one.chance is not None:
        close = abs(one.before.mean - one.chance) <= one.before.ci95
        at = "at chance" if close else f"guessing would give {one.chance:.0f} %"
        measured = f"Before it saw the examples, the same network was right {one.before} of the time: {at}."
        guessed = f"Before it saw the examples it had no readout yet, so its answer was a guess: right {one.chance:.0f} % of the time."
        told.append(guessed if one.guess else measured)
        told.append(f"After adapting to them: {one.after}. Adaptation is worth {one.after.mean - one.before.mean:+.1f} points.")
    if one.zeroed is not None:
        worth = one.after.mean - one.zeroed.mean
        told.append(f"With the updates of its hidden layers set to zero it reaches {one.zeroed}: they are worth {worth:+.1f} points.")
    return told


def _table(found: Sequence[tuple[str, Evaluated]], several: bool) -> str:
    """A row for each evaluation; a column that would say the same in every row is left out."""
    zeroed, measured = any(one.zeroed for _, one in found), not all(one.guess for _, one in found)
    seeds = {one.seed for _, one in found}
    head = (["Run"] if several else []) + ["Problem", "Characters", "After", "Before"] + (["Chance"] if measured else [])
    head += (["Hidden updates off"] if zeroed else []) + ["Episodes"] + (["Seed"] if len(seeds) > 1 else [])
    lines = []
    for label, one in found:
        line = ([label] if several else []) + [one.task, words.split(one.split), one.after, _before(one)]
        line += [f"{one.chance:.1f} %" if one.chance else "-"] if measured else []
        line += [one.zeroed or "-"] if zeroed else []
        line += [f"{one.episodes:,}" if one.episodes else "-"]
        lines.append(line + (["-" if one.seed is None else one.seed] if len(seeds) > 1 else []))
    caption = "Every evaluation on unseen characters: mean accuracy and half-width of its 95 % interval"
    if any(one.guess for _, one in found):
        caption += "; a guess: before adaptation no readout is written yet"
    if len(seeds) == 1 and None not in seeds:
        caption += f"; episodes of seed {seeds.pop()}"
    return table(caption, head, lines, words=3 if several else 2)


def _before(one: Evaluated) -> str:
    if one.guess and one.chance:
        return f"{one.chance:.1f} %, a guess"
    return str(one.before or "-")


def learning(runs: Sequence[Reading], labels: Sequence[str], show: Figures) -> str:
    """The learning curve over meta-training."""
    drawing = figures.learning(runs, labels)
    without = [label for run, label in zip(runs, labels, strict=True) if not run.metrics.height]
    if drawing is None:
        return section("Learning curve", missing(f"No curve can be drawn. {runs[0].gaps.get('metrics.jsonl', '')}"))
    rest = missing(f"No curve for {', '.join(without)}: metrics.jsonl is missing or empty there.") if without else ""
    return section("Learning curve", show.show(drawing), rest)
