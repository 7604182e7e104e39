"""What belongs to one run: an episode, the activity, the network and what it cost, and how to do it again."""

import shlex

from neurometa.report import figures, scores, words
from neurometa.report.markup import Figures, code, commands, facts, folded, missing, paragraph, section, table
from neurometa.report.read import Reading


def episode(run: Reading, show: Figures, level: int = 2) -> str:
    """One problem, drawn."""
    drawing = figures.episode(run)
    why = run.gaps.get("episode.npz", "episode.npz does not hold the arrays that a picture needs.")
    return section("One problem, drawn", show.show(drawing) if drawing else missing(f"No episode can be drawn. {why}"), level=level)


def activity(run: Reading, show: Figures, level: int = 2) -> str:
    """Spike raster and firing rates; one sentence for a conventional network."""
    title = "What the neurons do"
    if not words.spiking(run):
        told = "This network is conventional: its units pass numbers, not spikes, so there is no raster and no firing rate."
        return section(title, paragraph(told), level=level)
    raster, rates = figures.raster(run), figures.rates(run)
    why = run.gaps.get("episode.npz", "episode.npz holds none.")
    parts = [show.show(raster) if raster else missing(f"No spike raster can be drawn. {why}")]
    parts += [show.show(rates) if rates else missing("No firing rates are recorded in this folder.")]
    return section(title, *parts, level=level)


def network(run: Reading, level: int = 2) -> str:
    """The network layer by layer and the cost of training it."""
    summary, train = run.summary or {}, words.part(run, "training") or {}
    pairs: list[tuple[str, object]] = [("Network", words.network(run))]
    pairs += [("Time steps", words.steps(run))] if words.steps(run) else []
    pairs += [("Parameters", f"{summary['parameters']:,}")] if isinstance(summary.get("parameters"), int) else []
    if words.spiking(run) and isinstance(summary.get("spikes_per_inference"), int | float):
        pairs.append(("Spikes per inference", f"{summary['spikes_per_inference']:,.0f}"))
    done = (summary.get("training") or {}).get("steps") or (run.metrics["step"].max() if run.metrics.height else 0)
    pairs += [("Meta-training", f"{done:,} of {train.get('steps') or 0:,} steps, {words.count(train.get('tasks') or 1, 'problem')} each")]
    pairs += [("Begun with the weights of", words.began(run))] if words.began(run) else []
    pairs += [
        (f"Training, {what} time", words.duration(scores.trained_s(run, clock))) for what, clock in (("wall", "wall_s"), ("CPU", "cpu_s"))
    ]
    return section("Network and cost", facts(pairs), _layers(run), level=level)


def _layers(run: Reading) -> str:
    told, spikes, rates = words.layers(run), scores.raster(run), scores.rates(run)[0]
    if not told:
        return ""
    lines = []
    for i, what in enumerate(told, 1):
        name = f"layer {i}"
        summed = "; no spikes, its current is summed over time" if rates and i == len(told) and name not in rates else ""
        neurons = f"{spikes[name].shape[1]:,}" if name in spikes else "-"
        lines.append([name, what + summed, neurons, f"{rates[name]:.1f} %" if name in rates else "-"])
    wanted = 4 if words.spiking(run) else 2
    head = ["Layer", "What it is", "Neurons", "Firing rate"][:wanted]
    return table("Hidden layers in order", head, [line[:wanted] for line in lines], words=2)


def again(run: Reading, level: int = 2) -> str:
    """Commands, environment and configuration."""
    parts = [paragraph("This command trains and judges the learner anew, with every setting as it was:")]
    parts += [commands([shlex.join(["neurometa", "run", str(run.folder / "config.toml")])])]
    told = [one.command for one in scores.evaluations(run) if one.command]
    if told:
        parts += [paragraph("Evaluating the trained learner again, as in the table above:"), commands(told)]
    parts += [folded("Configuration, every setting (config.toml)", code(run.text))]
    environment = _flat(run.environment)
    where = facts(environment) if environment else missing(run.gaps.get("environment.json", "environment.json is empty."))
    return section("Do it again", *parts, f"<h{level + 1}>Where it ran</h{level + 1}>", where, level=level)


def _flat(values: dict[str, object]) -> list[tuple[str, object]]:
    names = {"format": "run format", "config": "configuration hash", "kernel_missing": "why no faster kernel"}
    found: list[tuple[str, object]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            found += _flat(value)
        elif value is not None:
            found.append((names.get(key, key), ", ".join(map(str, value)) if isinstance(value, list) else value))
    return found
