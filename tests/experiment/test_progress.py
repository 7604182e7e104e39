import io

import pytest
from rich.console import Console

from neurometa.experiment import progress


def test_lines_come_now_and_then_and_at_the_end(capsys):
    lines = progress.Lines(every_s=3600)
    for step in range(1, 101):
        lines.at(step, 100, 0.5, 90.0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["step 1/100  loss 0.500  accuracy 90.0 %", "step 100/100  loss 0.500  accuracy 90.0 %"]


def test_a_bar_shows_step_loss_and_accuracy():
    shown = io.StringIO()
    bar = progress.Bar(Console(file=shown, force_terminal=True, width=120))
    bar.say("hello")
    bar.at(30, 100, 0.25, 75.0)
    bar.close()
    for word in ("hello", "meta-training", "30/100", "loss 0.250", "accuracy 75.0 %"):
        assert word in shown.getvalue()


def test_a_pipe_gets_lines(capsys):
    assert isinstance(progress.watch(), progress.Lines)


def test_a_long_evaluation_gets_lines_now_and_then(capsys, monkeypatch):
    lines = progress.Lines(every_s=10)
    for now in range(100, 126):
        monkeypatch.setattr(progress.time, "monotonic", lambda now=now: float(now))
        lines.judged(now - 99, 26)
    assert capsys.readouterr().err.splitlines() == ["evaluation 11/26 episodes", "evaluation 21/26 episodes"]


def test_a_bar_shows_training_and_evaluation():
    shown = io.StringIO()
    bar = progress.Bar(Console(file=shown, force_terminal=True, width=120))
    bar.at(100, 100, 0.25, 75.0)
    bar.judged(7, 20)
    bar.close()
    for word in ("meta-training", "100/100", "evaluation", "7/20"):
        assert word in shown.getvalue()


def test_quiet_says_only_what_is_said(capsys):
    quiet = progress.watch(quiet=True)
    quiet.at(1, 1, 0.5, 90.0)
    quiet.judged(1, 1)
    quiet.say("a line")
    assert capsys.readouterr().err == "a line\n"


@pytest.mark.parametrize("text", ["[bold]", "50 %", "a" * 500])
def test_a_bar_says_a_line_as_it_is(text):
    shown = io.StringIO()
    progress.Bar(Console(file=shown, force_terminal=True, width=80)).say(text)
    assert shown.getvalue() == text + "\n"
