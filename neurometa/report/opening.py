"""The top of the page: what was learned, on what, from how few examples, how well, and how in three steps."""

from collections.abc import Sequence

from neurometa.report import scores, words
from neurometa.report.markup import missing, paragraph, section, text
from neurometa.report.read import Reading
from neurometa.report.scores import Evaluated, comparable


def title(runs: Sequence[Reading]) -> str:
    """One sentence in plain text: the finding, no better than it is."""
    found = [scores.main(run) for run in runs]
    if len(runs) == 1:
        return _finding(runs[0], found[0])
    kinds = [words.spiking(run) for run in runs]
    if len(runs) == 2 and len(set(kinds)) == 2 and comparable(runs) and found[0] and found[1]:
        spiking, twin = (found[kinds.index(kind)] for kind in (True, False))
        if spiking and twin:
            told = f"a spiking network gets {spiking.after.mean:.1f} % right, its conventional twin {twin.after.mean:.1f} %"
            return f"New characters from {_examples(spiking)}: {told}"
    return f"{len(runs)} learners, judged on characters they had never seen"


def opening(runs: Sequence[Reading], labels: Sequence[str]) -> str:
    """The header of the page."""
    tags = " · ".join(dict.fromkeys(words.name(run) for run in runs))
    parts = [f'<p class="tag">neurometa report · {text(tags)}</p>', f"<h1>{text(title(runs))}</h1>"]
    scored = "".join(_score(run, label, len(runs) > 1) for run, label in zip(runs, labels, strict=True))
    parts += [f'<div class="{"single" if len(runs) == 1 else "several"}">{_lead(runs)}<div class="scores">{scored}</div></div>']
    if len(runs) > 1 and not comparable(runs):
        parts.append(missing("These runs were not all judged on the same kind of problem: compare their numbers with care."))
    return f"<header>{''.join(parts)}</header>"


def method(runs: Sequence[Reading], labels: Sequence[str]) -> str:
    """Meta-training, adaptation, test: three steps for somebody who has never heard of them; runs that differ are told apart."""
    told = [_steps(run) for run in runs]
    items = ""
    for i, head in enumerate(("Meta-training", "Adaptation", "Test")):
        bodies = [steps[i] for steps in told]
        once = [bodies[0]] if len(set(bodies)) == 1 else [f"{label}: {body}" for label, body in zip(labels, bodies, strict=True)]
        items += f"<li><h3>{head}</h3>{''.join(paragraph(body) for body in once)}</li>"
    return section("How it works", f'<ol class="steps">{items}</ol>')


def _steps(run: Reading) -> tuple[str, str, str]:
    train = words.part(run, "training") or {}
    problems = (train.get("steps") or 0) * (train.get("tasks") or 1)
    one = scores.main(run)
    shots = one.shots if one and one.shots else words.part(run, "task", "shots") or 1
    ways = one.ways if one and one.ways else words.part(run, "task", "ways") or 0
    practice = f"{words.count(problems, 'practice problem')} on {words.material(run)}. After each step the network's slow weights move "
    practice += f"{words.estimator(run)}, so that it adapts better next time."
    shown = f"It is shown {words.count(shots, 'example')} of each of {ways} characters that were kept out of practice. "
    shown += f"From them the learner {words.plasticity(run)}."
    times = f" {one.episodes:,} times" if one and one.episodes else ""
    asked = "It is asked to name other images of those characters, each on its own. "
    asked += f"This is repeated with new characters{times}; the slow weights stay as they are."
    return practice, shown, asked


def _examples(one: Evaluated) -> str:
    return "one example each" if one.shots == 1 else f"{one.shots} examples each"


def _finding(run: Reading, one: Evaluated | None) -> str:
    kind = "spiking" if words.spiking(run) else "conventional"
    if one is None:
        return f"A {kind} network that is learning to recognise new characters: not yet judged"
    if one.chance is not None and one.after.mean - one.after.ci95 <= one.chance:
        return f"This {kind} network does no better than guessing on new characters"
    return f"A {kind} network learned to recognise new characters from {_examples(one)}"


def _lead(runs: Sequence[Reading]) -> str:
    run, several = runs[0], len(runs) > 1
    if several and not comparable(runs):
        told = "Each learner was shown a few examples of characters it had never seen and asked to name other images of them."
        return paragraph(told, "What each was asked, and how well it did, stands below.", kind="lead")
    one = scores.main(run)
    if one is None:
        done = run.metrics["step"].max() if run.metrics.height else 0
        total = words.part(run, "training", "steps")
        logged = f"{done:,} of {total or '?'} steps of meta-training are logged"
        return paragraph(f"There is no result yet: {logged} and no accuracy on unseen characters is recorded.", kind="lead")
    who, trained = ("each network", "They were") if several else ("the network", "It was")
    shown = f"Shown {words.count(one.shots or 0, 'example')} of each of {one.ways} characters it had never seen"
    first = f"{shown}, {who} names other images of them. "
    second = f"Guessing would be right {one.chance:.0f} % of the time. " if one.chance else ""
    third = f"{trained} trained on other characters of the same kind: {words.material(run)}. "
    lent = {words.name(other): words.began(other) for other in runs if words.began(other)}
    fourth = "".join(f"{name} began with the weights of {start}, whose training is not in its times. " for name, start in lent.items())
    return paragraph((first + second + third + fourth).strip(), kind="lead")


def _score(run: Reading, label: str, several: bool) -> str:
    one = scores.main(run)
    head = f"<h2>{text(label)}</h2>" if several else ""
    if one is None:
        return f'<div class="score">{head}{missing("No accuracy on unseen characters is recorded in this folder.")}</div>'
    low, high = max(one.after.mean - one.after.ci95, 0), min(one.after.mean + one.after.ci95, 100)
    chance = f'<i style="left:{one.chance:.2f}%"></i>' if one.chance else ""
    words_below = f"of new images named correctly. 95 % interval {low:.1f} to {high:.1f} %, from {one.episodes or 0:,} problems. "
    tick = f'<small style="margin-left:{min(one.chance, 60):.2f}%">chance {one.chance:.0f} %</small>' if one.chance else ""
    meter = f'<div class="meter" aria-hidden="true"><b style="width:{one.after.mean:.2f}%"></b>{chance}</div>'
    return f'<div class="score">{head}<p class="big">{one.after.mean:.1f}&thinsp;%</p><p>{text(words_below)}</p>{meter}{tick}</div>'
