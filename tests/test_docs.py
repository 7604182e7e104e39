"""The documentation is true: its Python runs, its TOML is read, its commands and options exist, its tables cover every field."""

import doctest
import importlib
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from neurometa.experiment import load

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
MODULES = [path for path in sorted((ROOT / "neurometa").rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


def blocks(page: Path, language: str) -> list[str]:
    return [code for found, code in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def with_blocks(language: str) -> list:
    return [pytest.param(page, id=page.stem) for page in PAGES if blocks(page, language)]


@pytest.fixture(scope="module")
def generated():
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs/hooks/generated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "example"}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), space)


@pytest.mark.parametrize("page", with_blocks("toml"))
def test_toml_examples_are_experiments(page):
    for code in blocks(page, "toml"):
        load.convert(tomllib.loads(code), page.name)


@pytest.mark.parametrize("page", with_blocks("sh"))
def test_commands_exist(page, generated):
    known = generated.command_options()
    for line in "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["neurometa"]:
            assert words[1] in known, line
            unknown = [w for w in words if w.startswith("--") and "." not in w and w not in known[words[1]] | {"--seed", "--name"}]
            assert not unknown, line
        if words[:1] == ["make"]:
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        for word in words:
            if word.startswith("experiments/"):
                assert any(ROOT.glob(word)), line  # as a shell reads `points/*`


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_docstring_examples_run(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_every_field_has_one_meaning(generated):
    expected = {struct.cls.__name__: {field.name for field in struct.fields} for struct in generated.structs()}
    assert {name: set(fields) for name, fields in generated.meanings().items()} == expected


def test_configuration_page_names_every_kind(generated):
    page = generated.configuration()
    assert all(f'`kind = "{struct.tag}"`' in page for struct in generated.structs() if struct.tag and struct.tag != struct.cls.__name__)


def test_command_page_names_every_command(generated):
    page = generated.commands()
    assert all(f"## neurometa {name}" in page for name in ("run", "evaluate", "report", "list"))
