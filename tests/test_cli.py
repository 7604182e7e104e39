"""The command line: exit codes, one line for a mistake, one JSON object for --json and nothing else on standard output."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurometa import cli
from neurometa.errors import InternalError
from neurometa.experiment import catalogue

ROOT = Path(__file__).resolve().parents[1]

TINY = """
name = "tiny"
task = { kind = "glyphs", ways = 3, queries = 2, size = 14, augment = false }
network = { kind = "mlp", widths = [8] }
training = { steps = 3 }
evaluation = { ways = 3, queries = 2, episodes = 5 }
"""


@pytest.fixture
def neurometa(tmp_path, monkeypatch, capsys):
    """Run a command in tmp_path: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEUROMETA_TRACEBACK", raising=False)
    (tmp_path / "tiny.toml").write_text(TINY)

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


def test_run_evaluate_and_report_work_one_after_another(neurometa, tmp_path):
    code, out, err = neurometa("run", "tiny.toml", "--training.steps", "4", "--seed=7", "--json")
    assert code == 0, err
    answer = json.loads(out)
    assert set(answer) == {"run", "summary"}
    assert answer["run"].startswith("runs/tiny-")
    assert answer["summary"] == json.loads((tmp_path / answer["run"] / "summary.json").read_text())
    assert answer["summary"]["training"]["steps"] == 4
    assert "seed = 7" in (tmp_path / answer["run"] / "config.toml").read_text()

    code, out, err = neurometa("evaluate", answer["run"], "--ways", 4, "--shots", 2, "--episodes", 6, "--seed", 3, "--json")
    assert code == 0, err
    evaluated = json.loads(out)
    assert evaluated == json.loads((tmp_path / answer["run"] / "evaluations/unseen-4w2s-3.json").read_text())
    assert (evaluated["task"]["ways"], evaluated["task"]["shots"], evaluated["episodes"]) == (4, 2, 6)

    code, out, err = neurometa("evaluate", answer["run"], "--episodes", 5)
    assert code == 0, err
    words = (
        "accuracy",
        "before adaptation",
        "33.33 %, chance: every answer is the same",
        "±",
        "spikes per inference",
        "firing rates",
        "lif1",
    )
    for word in (*words, "parameters"):
        assert word in out

    code, out, err = neurometa("estimate", answer["run"], "--chip", "loihi1", "--chip", "digital45-int8", "--episodes", 2, "--json")
    assert code == 0, err
    estimated = json.loads(out)
    assert estimated["schema"] == 1
    assert {one["phase"] for one in estimated["estimates"]} == {"inference", "adaptation"}
    kept = json.loads((tmp_path / answer["run"] / "estimate.json").read_text())
    assert kept == {key: value for key, value in estimated.items() if key not in ("differences", "ratios")}
    code, out, err = neurometa("estimate", answer["run"], "--chip", "loihi1-davies2018", "--against", answer["run"], "--episodes", 2)
    assert code == 0, err
    for word in ("synaptic events", "break-even", "left out", "loihi1 davies2018", "weights written"):
        assert word in out
    code, out, err = neurometa("estimate", answer["run"], "--chip", "abacus", "--json")
    assert (code, out) == (2, "")
    assert "chip abacus is not known: expected one of" in err

    code, out, err = neurometa("report", "runs", "--out", "page.html", "--json")
    assert code == 0, err
    assert json.loads(out) == {"report": "page.html"}
    assert "<html" in (tmp_path / "page.html").read_text()

    code, out, err = neurometa("run", answer["run"], "--json")  # it has ended: its summary again
    assert code == 0, err
    assert json.loads(out) == answer

    code, out, err = neurometa("publish", answer["run"], "--out", "trained/tiny", "--json")
    assert code == 0, err
    assert neurometa("evaluate", "trained/tiny", "--episodes", "5", "--json")[0] == 0


def test_a_run_for_people_shows_its_result_and_where_to_look(neurometa):
    code, out, err = neurometa("run", "tiny.toml", "--out", "elsewhere")
    assert code == 0, err
    assert "accuracy" in out
    assert "neurometa report elsewhere/tiny-" in out
    assert "step 3/3" in err


MISTAKES = [
    (["run"], "Missing argument"),
    (["run", "none.toml"], "none.toml does not exist"),
    (["run", "tiny.toml", "other.toml"], "one experiment file"),
    (["run", "tiny.toml", "--training.stepz", "3"], "did you mean steps?"),
    (["run", "tiny.toml", "--sede", "3"], "did you mean seed?"),
    (["run", "tiny.toml", "--seed"], "--seed has no value"),
    (["run", "tiny.toml", "--task.kind", "omniglot"], "never the kind; edit the file"),
    (["run", "tiny.toml", "--task.ways", "100000"], "100000 ways given"),
    (["run", "tiny.toml", "--evaluation.ways", "100000"], "100000 ways given"),
    (["run", "tiny.toml", "--task.ways", "many"], "expected a whole number"),
    (["run", "tiny.toml", "--out", "tiny.toml"], "choose another folder with --out"),
    (["run", "."], "not a run folder"),
    (["run", ".", "--seed", "3"], "never change"),
    (["evaluate", "none"], "none is not a folder"),
    (["evaluate", "none", "--ways", "1"], "Try `neurometa evaluate --help`"),
    (["evaluate", "none", "--ways", "x"], "--ways"),
    (["evaluate", "none", "--wayz", "3"], "--wayz"),
    (["report", "none"], "none is not a folder"),
    (["publish", "none", "--out", "x"], "none is not a folder"),
    (["estimate", "none"], "none is not a folder"),
    (["estimate", "none", "--batch", "0"], "--batch"),
    (["estimate", "none", "--step-ms", "0"], "above 0"),
    (["list", "rules"], "plasticity, estimators"),
    (["frobnicate"], "frobnicate"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_mistake_is_one_line_and_exit_code_2_and_nothing_is_left(neurometa, tmp_path, arguments, words, as_json):
    code, out, err = neurometa(*arguments, *(["--json"] if as_json else []))
    assert code == 2
    assert out == ""
    assert err.startswith("neurometa: ")
    assert err.count("\n") == 1
    assert words in err
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.toml"]


def test_a_fault_of_ours_is_one_line_and_exit_code_1_and_says_how_to_see_more(neurometa, monkeypatch):
    def broken(what):
        raise InternalError("a kernel broke\nits contract")

    monkeypatch.setattr(catalogue, "catalogue", broken)
    code, out, err = neurometa("list", "tasks")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "a kernel broke its contract" in err
    assert "NEUROMETA_TRACEBACK=1" in err
    monkeypatch.setenv("NEUROMETA_TRACEBACK", "1")
    assert "Traceback" in neurometa("list", "tasks")[2]


@pytest.mark.parametrize("what", catalogue.WHAT)
def test_list_prints_a_table_or_one_object(neurometa, what):
    code, out, _ = neurometa("list", what, "--json")
    assert code == 0
    assert list(json.loads(out)) == [what]
    code, out, _ = neurometa("list", what)
    assert code == 0
    assert out.strip()


def test_help_and_version(neurometa):
    assert neurometa("--version")[:2] == (0, "neurometa 0.1.0\n")
    assert neurometa()[:2] == neurometa("--help")[:2]
    code, out, _ = neurometa("run", "--help")
    assert code == 0
    assert "--training.steps" in out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from neurometa.cli import _exit_code; _exit_code(['--help']);"
        "sys.exit(', '.join(sorted({'torch', 'numpy', 'matplotlib', 'msgspec'} & set(sys.modules))) or 0)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - began < 5  # 0.2 s on a machine that does nothing else
    assert "Commands" in done.stdout


def test_the_package_is_a_program():
    done = subprocess.run([sys.executable, "-m", "neurometa", "list", "tasks", "--json"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, list(json.loads(done.stdout))) == (0, ["tasks"])


@pytest.mark.parametrize(("flag", "value"), [("--device", "tpu"), ("--kernel", "cobol")])
def test_a_device_or_kernel_that_is_not_known_is_refused_with_those_that_are(neurometa, flag, value):
    trained = Path(__file__).resolve().parents[1] / "experiments/trained/omniglot-prototype"
    code, out, err = neurometa("evaluate", trained, flag, value)
    assert (code, out) == (2, "")
    assert f"training.{flag[2:]} = '{value}' is not known; expected one of auto, " in err
