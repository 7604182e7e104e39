"""The command line. Every command imports what it needs when it runs, so that `neurometa --help` is there at once."""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from neurometa.core.allocator import keep_memory
from neurometa.errors import UserError

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="Spiking networks that learn to learn.")

DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the data; default $NEUROMETA_DATA, then ~/.cache/neurometa.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a published learner.")]


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        import neurometa

        _out(f"neurometa {neurometa.__version__}")


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    what: Annotated[list[str], typer.Argument(metavar="FILE.toml|RUN [--FIELD VALUE]...", help="An experiment, or a run to go on with.")],
    out: Annotated[Path | None, typer.Option(help="Folder in which the run folder is made; default runs.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Meta-train and evaluate, or go on with a run.

    Flags such as --training.steps 100 override fields of the file.
    """
    from neurometa.experiment import folder, load, override, progress, session

    positional, overrides = override.split(what)
    if len(positional) != 1:
        given = " ".join(positional) or "nothing"
        raise UserError(f"run takes one experiment file or run folder, given {given}: write `neurometa run FILE.toml --training.steps 100`")
    path = Path(positional[0])
    if path.is_dir() and (overrides or out):
        raise UserError(
            f"{path} is a run, whose configuration and place never change: "
            f"start a new one with `neurometa run {path / 'config.toml'}` and these flags"
        )
    try:
        if path.is_dir():
            made = folder.open_run(path)
            summary = session.resume(made, data, progress.watch())
        else:
            made, summary = session.start(load.read(path, overrides), out or Path("runs"), data, progress.watch())
    except session.Stopped as stopped:
        raise typer.Exit(_complain(stopped, 130)) from None
    if as_json:
        return _json({"run": str(made.path), "summary": summary})
    _show(summary)
    _out(f"\nlook at it: neurometa report {made.path}")


@app.command()
def evaluate(
    path: RunArgument,
    ways: Annotated[int | None, typer.Option(min=2, help="Classes of an episode.")] = None,
    shots: Annotated[int | None, typer.Option(min=1, help="Support examples of a class.")] = None,
    queries: Annotated[int | None, typer.Option(min=1, help="Query examples of a class.")] = None,
    episodes: Annotated[int | None, typer.Option(min=2, help="Number of episodes.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the episodes.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the task, if not the one trained on.")] = None,
    within_alphabet: Annotated[bool, typer.Option("--within-alphabet", help="All classes of an episode from one alphabet.")] = False,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; default as in its training.")] = None,
    kernel: Annotated[str | None, typer.Option(help="auto, reference, numba or triton; default as in its training.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a learner on unseen classes.

    What is left out is taken from the [evaluation] of its experiment.
    """
    from neurometa.experiment import evaluation, folder, load, progress
    from neurometa.experiment.build import Question, question
    from neurometa.experiment.override import Override

    opened = folder.open_run(path)
    by_hand = [Override(("training", field), value) for field, value in (("device", device), ("kernel", kernel)) if value is not None]
    opened = opened._replace(experiment=load.changed(opened.experiment, by_hand, "evaluate"))
    default, own = opened.experiment.evaluation, question(opened.experiment)
    asked = Question(ways or own.ways, shots or own.shots, queries or own.queries, split, within_alphabet)
    seed = default.seed if seed is None else seed
    summary = evaluation.ask(opened, asked, episodes or default.episodes, seed, data, progress.watch(quiet=as_json))
    if as_json:
        return _json(summary)
    _show(summary)


@app.command()
def estimate(
    path: RunArgument,
    chip: Annotated[list[str] | None, typer.Option(help="A chip or a card of `list chips`; may be repeated.")] = None,
    against: Annotated[Path | None, typer.Option(metavar="RUN", help="Another learner to set beside this one.")] = None,
    chips: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder with chip cards of your own.")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Episodes over which to count.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Seed of the episodes.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Queries that a conventional board answers together.")] = 1,
    step_ms: Annotated[float | None, typer.Option(help="Hold every time step to so many ms; default as fast as the chip can.")] = None,
    static: Annotated[bool, typer.Option("--static/--no-static", help="Whether leakage and idling count.")] = True,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate energy and latency of inference and adaptation on chips.

    Counts what the learner does over real episodes and prices it with published numbers.
    """
    from neurometa.chips.quantity import quantity
    from neurometa.energy.estimate import Settings
    from neurometa.experiment import estimation, folder, progress
    from neurometa.report import estimates

    if step_ms is not None and not 0 < step_ms < 1e6:
        raise UserError(f"--step-ms {step_ms:g} given, expected a number above 0 and below a million")
    runs = [folder.open_run(one) for one in (path, against) if one]
    settings = Settings(static, None if step_ms is None else quantity(step_ms, "ms"), batch)
    cards = estimation.cards(chip or [], chips)
    answer = estimation.ask(runs, cards, settings, episodes, seed, data, progress.watch(quiet=as_json))
    if as_json:
        return _json(answer)
    for line in estimates.lines(answer):
        _out(line)


@app.command()
def report(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders or published learners.")],
    out: Annotated[Path | None, typer.Option(help="The page to write; default report.html in the first run.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a page about one run, or several."""
    from neurometa.experiment import folder
    from neurometa.report import page

    written = page.write([folder.open_run(path).path for path in paths], out)
    if as_json:
        return _json({"report": str(written)})
    _out(str(written))


@app.command()
def plot(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="tradeoff, learning or raster.")],
    paths: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders; for a trade-off, estimated ones.")],
    out: Annotated[Path | None, typer.Option(help="File to write; without a suffix .pdf, .svg and .png. Default KIND, here.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw one figure from run folders.

    A trade-off sets energy against accuracy, and latency in a second figure, and prints the least energy of each side at each accuracy.
    """
    from neurometa.report import plot as drawing

    files, found = drawing.write(kind, paths, out)
    if as_json:
        return _json({"files": [str(file) for file in files], "least": found})
    for line in [*map(str, files), *drawing.table(found)]:
        _out(line)


@app.command(context_settings={"ignore_unknown_options": True})
def sweep(
    what: Annotated[list[str], typer.Argument(metavar="FILE.toml [--FIELD VALUE]...", help="An experiment.")],
    grid: Annotated[list[str], typer.Option(metavar="KEY=A,B,C", help="A field and its values; may be repeated.")],
    out: Annotated[Path, typer.Option(help="Folder in which the run folders are made.")] = Path("runs"),
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train every combination of some fields' values, one run folder each.

    Given again, the same command goes on where it stood.
    """
    from neurometa.experiment import override, progress, session
    from neurometa.experiment import sweep as sweeping

    positional, overrides = override.split(what)
    if len(positional) != 1:
        raise UserError(
            f"sweep takes one experiment file, given {' '.join(positional) or 'nothing'}: write `neurometa sweep FILE.toml --grid KEY=A,B`"
        )
    try:
        found = sweeping.run(sweeping.points(Path(positional[0]), grid, overrides), out, data, progress.watch(quiet=as_json))
    except session.Stopped as stopped:
        raise typer.Exit(_complain(f"{stopped}, or give the same sweep again", 130)) from None
    if as_json:
        return _json({"runs": [{"run": str(run.path), "summary": summary} for run, summary in found]})
    for run, summary in found:
        _out(f"{run.path}: {summary['accuracy']['mean']:.2f} ± {summary['accuracy']['ci95']:.2f} %")


@app.command()
def cite(path: RunArgument, as_json: JsonOption = False) -> None:
    """Print BibTeX of what a run rests on.

    Its rule, its outer loop, its data, and the sources of the chips on which it was estimated.
    """
    from neurometa.report import cite as citing

    works, missing = citing.entries(path)
    if as_json:
        return _json({"works": works, "missing": missing})
    _out(citing.bibtex(works))
    for part in missing:
        _out(f"% no work is known here for {part}")


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="plasticity, estimators, tasks, networks, chips or kernels.")],
    as_json: JsonOption = False,
) -> None:
    """List what there is to choose from."""
    from neurometa.experiment.catalogue import catalogue

    rows = catalogue(what)
    if as_json:
        return _json({what: rows})
    for row in rows:
        _out(f"{row['name']:<24} {'' if row['available'] else 'not available: '}{row['why']}")
    if not rows:
        _out(f"there are no {what} yet")


@app.command()
def export(
    path: RunArgument,
    to: Annotated[str, typer.Option(help="loihi or nir.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    verify: Annotated[str | None, typer.Option(help="emulator or lava: judge what was exported beside the float learner.")] = None,
    episodes: Annotated[int | None, typer.Option(min=2, help="Episodes of that; default 100, in Lava 20.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the episodes.")] = None,
    chip: Annotated[str, typer.Option(help="A chip of `list chips`, whose limits are checked.")] = "loihi1-davies2018",
    given: Annotated[str, typer.Option("--input", help="spikes or bias (currents); default spikes where the input is 0 or 1.")] = "auto",
    hard_reset: Annotated[bool, typer.Option("--hard-reset", help="Export a subtractive reset as a hard one.")] = False,
    timeout_s: Annotated[float, typer.Option(help="Seconds for each window that Lava plays.")] = 600,
    bits: Annotated[int | None, typer.Option(help="Bits of a weight, 2 to 8; default those it was trained with, else 8.")] = None,
    dt: Annotated[float, typer.Option(help="Length of a time step in seconds, for NIR.")] = 1e-4,
    learning: Annotated[str, typer.Option(help="host or chip: where the readout learns.")] = "host",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a trained learner as Loihi's integers, or as a NIR graph.

    For Loihi the folder holds bundle.json, its arrays and the float network as model.nir, for NIR that alone. The readout stays on the
    host, or with --learning chip becomes a part of the bundle that learns by its rule in integers (prototype, stdp, soel, eprop). With
    --verify the learner is judged on episodes of unseen classes before and after, in the integer emulator, or in Intel's Lava, where every
    spike and weight is compared.
    """
    from neurometa.experiment import exporting, folder, progress

    if to not in ("loihi", "nir"):
        raise UserError(f"--to {to} given, expected loihi or nir")
    if verify not in (None, "emulator", "lava"):
        raise UserError(f"--verify {verify} given, expected emulator or lava")
    if to == "nir":
        if verify:
            raise UserError("--verify given with --to nir, expected it with --to loihi: a graph is not rounded")
        if learning != "host":
            raise UserError(f"--learning {learning} given with --to nir, expected it with --to loihi: a graph has no learning rules")
        written = exporting.to_nir(folder.open_run(path), out, dt)
        return _json(written) if as_json else _out(written["out"])
    asked = exporting.Asked(out, verify, episodes, seed, chip, given, hard_reset, timeout_s, bits, dt, learning)
    answer = exporting.to_loihi(folder.open_run(path), asked, data, progress.watch(quiet=as_json))
    if as_json:
        return _json(answer)
    _exported(answer)


@app.command()
def lava(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="install or check.")],
    python: Annotated[Path | None, typer.Option(help="A Python 3.10 (or 3.11) to install with; default one that is found.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the environment in which Intel's Lava runs, or say whether it works.

    It is looked for where $NEUROMETA_LAVA says, then in hardware/lava/.venv of a checkout, then in ~/.cache/neurometa/lava.
    """
    from neurometa.export import lava, lava_install

    if what == "install":
        lava_install.install(_aside, python)
    elif what != "check":
        raise UserError(f"lava takes install or check, given {what}: write `neurometa lava install`")
    found = lava.check()
    if as_json:
        return _json(found)
    works = ", ".join(f"{name} {'works' if right else 'fails'}" for name, right in found["works"].items())
    _out(f"{lava.interpreter()}: lava-nc {found['lava']}, Python {found['python']}, NumPy {found['numpy']}; {works}")


@app.command()
def publish(
    path: RunArgument,
    out: Annotated[Path, typer.Option(help="Folder to write, such as experiments/trained/NAME.")],
    as_json: JsonOption = False,
) -> None:
    """Copy a finished learner into a small folder.

    It leaves out what only training needs, and serves wherever RUN does.
    """
    from neurometa.experiment import folder
    from neurometa.experiment.publish import publish as write

    written = write(folder.open_run(path), out)
    if as_json:
        return _json({"published": str(written)})
    _out(str(written))


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and exit: 0; 2 for a user's mistake, 1 for a fault of ours, 130 after Ctrl-C, with one line on standard error."""
    keep_memory()
    sys.exit(_exit_code(sys.argv[1:] if arguments is None else arguments))


def _exit_code(arguments: list[str]) -> int:
    try:
        code = typer.main.get_command(app).main(arguments or ["--help"], prog_name="neurometa", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UserError as error:
        return _complain(error, 2)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("stopped", 130)
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of typer, whichever click it brings
            command = getattr(getattr(error, "ctx", None), "command_path", "neurometa")
            return _complain(f"{error.format_message()} Try `{command} --help`.", 2)  # type: ignore[attr-defined]
        if os.environ.get("NEUROMETA_TRACEBACK"):
            traceback.print_exc()
        return _complain(f"{type(error).__name__}: {error} (our fault; set NEUROMETA_TRACEBACK=1 to see where, and report it)", 1)


def _complain(message: object, code: int) -> int:
    sys.stderr.write(f"neurometa: {' '.join(str(message).split())}\n")
    return code


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")


def _aside(text: str) -> None:
    sys.stderr.write(text + "\n")


def _json(value: dict[str, Any]) -> None:
    _out(json.dumps(value, allow_nan=False))


def _show(summary: dict[str, Any]) -> None:
    """Print an evaluation for people."""
    from rich.console import Console
    from rich.table import Table

    task = summary["task"]
    asked = f"{task['kind']} {summary['split']}, {task['ways']}-way {task['shots']}-shot"
    if "mse" in summary:
        asked = f"{task['kind']}, {task['shots']} examples"
    _out(f"{summary['experiment']}: {summary['episodes']} episodes of {asked}")
    table = Table(show_header=False)
    for label, key in (
        ("squared error", "mse"),
        ("accuracy", "accuracy"),
        ("before adaptation", "before_adaptation"),
        ("hidden updates zeroed", "zeroed_hidden"),
    ):
        if summary.get(key):
            table.add_row(label, _error(summary[key]) if "mse" in summary else _interval(summary[key], 100 / task["ways"]))
    table.add_row("spikes per inference", f"{summary['spikes_per_inference']:,.0f}")
    table.add_row("firing rates", "  ".join(f"{layer} {rate:.1f} %" for layer, rate in summary["rates"].items()) or "none: not spiking")
    table.add_row("parameters", f"{summary['parameters']:,}")
    Console().print(table)


def _exported(answer: dict[str, Any]) -> None:
    """Print what an export did, for people."""
    need, verify = answer["resources"], answer["verify"]
    _out(f"{answer['out']}: {answer['steps']} time steps, {need['compartments']:,} compartments, {need['synapses']:,} synapses")
    placed = f"{need['cores']} cores on {need['chips']} chip(s)" if need["fits"] else f"does not fit: {need['why']}"
    _out(f"{need['chip']}: {placed}")
    if need["programmed"]:
        _out(f"adaptive thresholds in {', '.join(need['programmed'])}: these need a programmed neuron, as Loihi 2 offers")
    for layer in answer["rounding"]:
        _out(f"{layer['layer']}: weights off by {layer['weight_rms']:.2f} % of the largest (rms), {layer['clipped']} clipped")
    if answer["learning"]["where"] == "chip":
        _out(f"the readout learns there: dw = {answer['learning']['dw']}; {answer['learning']['steps']:,} time steps an episode")
    if verify:
        _out(f"float   {verify['accuracy_float']:.2f} ± {verify['ci95_float']:.2f} %, {verify['episodes']} episodes")
        _out(f"integer {verify['accuracy_integer']:.2f} ± {verify['ci95_integer']:.2f} %, {verify['against']}")
        learnt = " and weight" if answer["learning"]["where"] == "chip" else ""
        same = (
            f"every spike{learnt} of Lava is the emulator's"
            if verify["against"] == "lava"
            else "the bundle on disk plays as the one in memory"
        )
        told = same if verify["equal"] else f"NOT EQUAL: {same}"
        _out(f"lost    {verify['lost']['mean']:.2f} ± {verify['lost']['ci95']:.2f} points; {told}")


def _interval(measured: dict[str, float], chance: float) -> str:
    """An accuracy, and in words where it is chance in every episode, because no class is told from another."""
    if measured["ci95"] == 0 and abs(measured["mean"] - chance) < 1e-4:
        return f"{chance:.2f} %, chance: every answer is the same"
    return f"{measured['mean']:.2f} ± {measured['ci95']:.2f} %"


def _error(measured: dict[str, float]) -> str:
    """A mean squared error, in squared units of the target."""
    return f"{measured['mean']:.3f} ± {measured['ci95']:.3f}"
