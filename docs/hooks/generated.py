"""Tables of the documentation that are made from the package itself, so that they cannot drift from it."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec.inspect as inspect
from typer.main import get_command

from neurometa.chips.read import shipped
from neurometa.cli import app
from neurometa.energy.validation import check, points
from neurometa.experiment import config

DATA = Path(__file__).resolve().parents[2] / "experiments" / "data"
MEANINGS = Path(__file__).resolve().parents[1] / "fields.toml"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page: put the tables where the page asks for them."""
    for name, make in {
        "configuration": configuration,
        "commands": commands,
        "chips": chips,
        "validation": validation,
        "rules": rules,
        "curves": curves,
    }.items():
        marker = re.compile(rf"<!-- generated: {name} -->\n_.*_$", re.MULTILINE)  # the line in italics is for readers of the source
        if marker.search(markdown):
            table = make()
            markdown = marker.sub(lambda _, table=table: table, markdown)
    return markdown


def structs() -> list[inspect.StructType]:
    """Every struct that an experiment is made of, the experiment first, each once, in the order of its fields."""
    found: dict[str, inspect.StructType] = {}

    def visit(kind: inspect.Type) -> None:
        if isinstance(kind, inspect.UnionType):
            for member in kind.types:
                visit(member)
        elif isinstance(kind, inspect.StructType) and kind.cls.__name__ not in found:
            found[kind.cls.__name__] = kind
            for field in kind.fields:
                visit(field.type)

    visit(inspect.type_info(config.Experiment))
    return list(found.values())


def meanings() -> dict[str, dict[str, str]]:
    """What each field means, by struct and field name."""
    return tomllib.loads(MEANINGS.read_text(encoding="utf-8"))


def configuration() -> str:
    """One section a struct: what it is, and a table of its fields."""
    said = meanings()
    sections = []
    for struct in structs():
        name = struct.cls.__name__
        rows = [f"| `{f.name}` | {_type(f.type)} | {_default(f)} | {said[name][f.name]} |" for f in struct.fields]
        table = ["| field | takes | default | meaning |", "| --- | --- | --- | --- |", *rows] if rows else []
        kind = f'`kind = "{struct.tag}"`. ' if struct.tag else ""
        sections.append("\n".join([f"## {name}", "", f"{kind}{struct.cls.__doc__}", "", *table]))
    return "\n\n".join(sections)


def _type(kind: inspect.Type) -> str:
    """A field's type in words."""
    match kind:
        case inspect.LiteralType():
            return ", ".join(f'`"{value}"`' for value in kind.values)
        case inspect.UnionType():
            return " or ".join(_type(member) for member in kind.types)
        case inspect.StructType():
            return f"[{kind.tag or kind.cls.__name__}](#{kind.cls.__name__.lower()})"
        case inspect.VarTupleType():
            return f"list of: {_type(kind.item_type)}"
        case inspect.IntType() | inspect.FloatType():
            return ("whole number" if isinstance(kind, inspect.IntType) else "number") + _range(kind)
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return "text" + (f" matching `{kind.pattern}`" if kind.pattern else "")
        case inspect.NoneType():
            return "`false` for none"
    raise TypeError(f"no words for the type {kind!r}: add them to docs/hooks/generated.py")


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    bounds = [(">", kind.gt), ("≥", kind.ge), ("<", kind.lt), ("≤", kind.le)]
    return "".join(f", {sign} {bound:g}" for sign, bound in bounds if bound is not None)


def _default(field: inspect.Field) -> str:
    if field.required:
        return "needed"
    return f"`{_toml(field.default)}`"


def _toml(value: Any) -> str:
    """A default as it would be written in a file."""
    if value is None:
        return "false"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, int | float):
        return str(value)
    tag = inspect.type_info(type(value)).tag
    return f'{{ kind = "{tag}" }}' if tag and tag != "surrogate" else "{}"


def commands() -> str:
    """One section a command: its help, its arguments and options."""
    sections = []
    for name, command in get_command(app).commands.items():
        rows = [f"| {_spelt(parameter)} | {' '.join((parameter.help or '').split())} |" for parameter in _parameters(command)]
        sections.append("\n".join([f"## neurometa {name}", "", (command.help or "").strip(), "", "| | |", "| --- | --- |", *rows]))
    return "\n\n".join(sections)


def chips() -> str:
    """One row a card: what it is, how its numbers were come by, what it says."""
    rows = []
    for name, card in shipped().items():
        figures = [figure for table in (card.energy, card.time, card.power) for figure in table.values()]
        kinds = ", ".join(sorted({figure.kind for figure in figures}))
        rows.append(f"| `{name}` | {card.title} | {kinds} | {card.about} |")
    return "\n".join(["| name | chip | kinds of number | what it says |", "| --- | --- | --- | --- |", *rows])


def validation() -> str:
    """One row a published measurement, fits and predictions in columns of their own."""
    rows = []
    for point in points().values():
        found = check(point)
        ends = found.estimated.to(point.unit)
        said = f"{ends['value']:.3g} ({ends['low']:.3g} to {ends['high']:.3g}) {point.unit}, {found.ratio:.2f} times"
        columns = (said, "") if point.column == "fit" else ("", said)
        rows.append(f"| {point.title} | {point.measured:g} {point.unit} | {columns[0]} | {columns[1]} |")
    return "\n".join(["| workload | measured | fit | prediction |", "| --- | --- | --- | --- |", *rows])


def rules() -> str:
    """Two tables of `python -m experiments.rules`: what every rule reaches, and what meta-training its constants adds."""
    by_row: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for line in (DATA / "rules.jsonl").read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        by_row.setdefault(found["row"], {}).setdefault(found["task"], []).append(found)
    reached = ["| rule | 5 ways | 20 ways |", "| --- | --- | --- |"]
    for row, tasks in by_row.items():
        reached.append(f"| {row} | {_seeds(tasks.get('5w1s'), 'trained')} | {_seeds(tasks.get('20w1s'), 'trained')} |")
    bought = ["| rule | ways | by hand | meta-trained | paired gain | outer steps x episodes, CPU-seconds |", f"|{' --- |' * 6}"]
    for row, tasks in by_row.items():
        for task, seeds in tasks.items():
            if "gain" not in seeds[0]:
                continue
            said = " | ".join(_seeds(seeds, what) for what in ("by hand", "trained", "gain"))
            how = f"{seeds[0]['steps']} x {seeds[0]['tasks']}, {round(sum(s['cpu_s'] for s in seeds) / len(seeds))}"
            bought.append(f"| {row} | {task.split('w')[0]} | {said} | {how} |")
    return "\n".join([*reached, "", *bought])


def _seeds(found: list[dict[str, Any]] | None, what: str) -> str:
    """One measure over the seeds of its training: mean and interval, and from where to where seeds differ; a gain has a sign."""
    if not found or what not in found[0]:
        return "not measured"
    means, sign = [one[what]["mean"] for one in found], "+" if what == "gain" else ""
    said = f"{sum(means) / len(means):{sign}.1f} ± {max(one[what]['ci95'] for one in found):.1f}"
    if len(means) == 1 or what == "by hand":
        return said
    return f"{said} ({len(means)} seeds, {min(means):{sign}.1f} to {max(means):{sign}.1f})"


def curves() -> str:
    """Two tables of `python -m experiments.curves`: accuracy over examples of each class, and over inner steps."""
    points = [json.loads(line) for line in (DATA / "curves.jsonl").read_text(encoding="utf-8").splitlines()]
    seen = [point for point in points if point["over"] == "examples"]
    counts = sorted({point["value"] for point in seen})
    tables = [f"| rule | {' | '.join(f'{n} each' for n in counts)} |", f"| --- |{' --- |' * len(counts)}"]
    for rule in dict.fromkeys(point["rule"] for point in seen):
        by_count = {point["value"]: _accuracy(point) for point in seen if point["rule"] == rule}
        tables.append(f"| {rule} | {' | '.join(by_count.get(n, '') for n in counts)} |")
    tables += ["", "| rule | inner steps | accuracy |", "| --- | --- | --- |"]
    tables += [f"| {p['rule']} | {p['value']} {p['over']} | {_accuracy(p)} |" for p in points if p["over"] != "examples"]
    return "\n".join(tables)


def _accuracy(point: dict[str, Any]) -> str:
    return f"{point['mean']:.1f} ± {point['ci95']:.1f}"


def command_options() -> dict[str, set[str]]:
    """The options of every command."""
    found = get_command(app).commands.items()
    return {name: {option for parameter in _parameters(command) for option in parameter.opts} for name, command in found}


def _parameters(command: Any) -> list[Any]:
    return [parameter for parameter in command.params if parameter.name != "help"]


def _spelt(parameter: Any) -> str:
    words = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name.upper()]
    return ", ".join(f"<code>{word.replace('|', '&#124;')}</code>" for word in words)
