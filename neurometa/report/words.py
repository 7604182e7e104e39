"""What a run did, in plain words for somebody who has never heard of neurometa. Plain text: escape it before it enters HTML."""

from pathlib import Path
from typing import Any

from neurometa.report.read import Reading


def part(run: Reading, *path: str) -> Any:
    """Look up a nested field of the config; None where it, or a part of the way, is missing."""
    found: Any = run.config
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def name(run: Reading) -> str:
    """The experiment's name."""
    return str(part(run, "name") or run.folder.name)


def spiking(run: Reading) -> bool:
    """Whether the network's units spike."""
    return part(run, "network", "neuron", "kind") != "relu"


def steps(run: Reading) -> int | None:
    """Time steps of one inference; None for a network without time."""
    swept = part(run, "encoding", "kind") == "delta"  # one step a column of the picture
    found = (part(run, "task", "size") or 28) if swept else part(run, "encoding", "steps")
    return found if spiking(run) and isinstance(found, int) else None


def written(run: Reading) -> bool:
    """Whether the plasticity makes the readout itself, so that before adaptation there is none and the answer is a guess."""
    writes = ("prototype", "stdp", "reward", "soel")
    return part(run, "plasticity", "kind") in writes or part(run, "plasticity", "head") == "zero"


def count(value: int | float, thing: str) -> str:
    """Write `1 example`, `2,000 examples`."""
    return f"{value:,.0f} {thing}" + ("" if value == 1 else "s")


def duration(seconds: int | float | None) -> str:
    """Write seconds as a person would."""
    if seconds is None:
        return "not recorded"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def began(run: Reading) -> str | None:
    """Name of the learner with whose weights the meta-training began; None where it began anew."""
    start = part(run, "training", "start")
    return Path(str(start)).name if start else None


SPLITS = {
    "background-evaluation": "evaluation set",
    "background-evaluation-within-alphabet": "one alphabet",
    "vinyals": "Matching Networks",
    "background-validation": "validation set",
}
"""What the splits of Omniglot are called where a person reads."""


def split(name: str) -> str:
    """Which characters a learner was judged on."""
    return SPLITS.get(name, name)


def material(run: Reading) -> str:
    """What the characters are."""
    kind = part(run, "task", "kind")
    if kind == "omniglot":
        return "handwritten characters (Omniglot)"
    if kind == "omniglot-strokes":
        return "handwritten characters (Omniglot), each seen through a slit that passes over it"
    if kind == "sinusoid":
        return "sines of other amplitudes and phases"
    return "printed characters drawn from a dozen typefaces" if kind == "glyphs" else f"the task {kind!r}"


def network(run: Reading) -> str:
    """One line on the network."""
    told = (run.summary or {}).get("network")
    if told:
        return str(told)
    sizes = part(run, "network", "channels") or part(run, "network", "widths") or ()
    shape = "-".join(str(size) for size in sizes)
    what = {"conv": "convolutional network, channels", "mlp": "dense network, widths"}.get(str(part(run, "network", "kind")), "network")
    return f"{'spiking' if spiking(run) else 'conventional (ReLU)'} {what} {shape}".strip()


def plasticity(run: Reading) -> str:
    """How the learner adapts, as the rest of a sentence that begins 'the learner ...'."""
    kind, rule = part(run, "plasticity", "kind"), part(run, "plasticity") or {}
    if kind == "prototype":
        first = "averages its response to the examples of each character into one prototype"
        return f"{first} and names a new image after the nearest prototype; no other weight moves"
    if kind == "frozen":
        return "changes nothing: this is the control that shows what the network does without adaptation"
    if kind == "bptt":
        fast = list(rule.get("fast") or ["*"])
        moved = "all its weights" if "*" in fast else f"the weights {', '.join(map(str, fast))}"
        moved = "only its last layer" if all(str(pattern).startswith("readout") for pattern in fast) else moved
        start = ", the last layer from zero" if rule.get("head") == "zero" else ""
        return f"takes {count(rule.get('steps', 0), 'step')} of gradient descent on the examples, moving {moved}{start}"
    if kind == "hebbian":
        return "binds what it sees in each example to the example's name by a Hebbian rule; only its last layer moves"
    if kind == "stdp":
        return "strengthens a synapse of its last layer where a spike came just before a spike that a teacher evoked"
    if kind == "reward":
        return f"guesses {count(rule.get('trials', 0), 'time')} at each example, is told whether it was right, and changes its last layer"
    if kind == "soel":
        return "changes the synapses of those output neurons whose error is too large; only its last layer moves"
    if kind == "eprop":
        shown = "one after another" if rule.get("examples") == "single" else "together"
        said = f"takes {count(rule.get('steps', 0), 'step')} of e-prop on the examples, {shown}, with {rule.get('feedback')} feedback"
        late = rule.get("signal_delay")
        said += f", which arrives {count(late, 'step')} late" if late else ""
        return said + ("; in training its traces counted as constant" if rule.get("truncate") == "traces" else "")
    return f"follows the rule {kind!r}"


def estimator(run: Reading) -> str:
    """How meta-training moves the slow weights."""
    return {
        "unrolled": "by the exact gradient through the adaptation",
        "first-order": "by the gradient at the adapted weights (first order)",
        "reptile": "towards the adapted weights (Reptile)",
        "evolution": "where random tries did better (evolution strategies)",
    }.get(str(part(run, "estimator", "kind")), f"by the estimator {part(run, 'estimator', 'kind')!r}")


def layers(run: Reading) -> list[str]:
    """One line a hidden layer, as far as the config tells."""
    net = part(run, "network") or {}
    if net.get("kind") == "mlp":
        return [f"dense, {width} units" for width in net.get("widths") or ()]
    found = []
    for channels, stride, pool in zip(net.get("channels") or (), net.get("strides") or (), net.get("pools") or (), strict=False):
        k = net.get("kernel", 3)
        words = [f"{k} × {k} convolution, {channels} channels"]
        words += [f"stride {stride}"] if stride != 1 else []
        words += [f"{net.get('pooling', 'average')} pooling {pool} × {pool}"] if pool != 1 else []
        found.append(", ".join(words))
    return found


def labels(runs: list[Reading]) -> list[str]:
    """A short label a run, different for each: its name, then the kind of network, seed or folder where names repeat."""
    found = [name(run) for run in runs]
    kinds = ["spiking" if spiking(run) else "conventional" for run in runs]
    for parts in (kinds, [f"seed {part(run, 'seed')}" for run in runs], [run.folder.name for run in runs]):
        if len(set(found)) < len(found) and len(set(parts)) > 1:
            found = [f"{label} ({more})" if found.count(label) > 1 else label for label, more in zip(found, parts, strict=True)]
    return found
