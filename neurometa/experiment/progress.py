"""What a long run shows: a bar on a terminal, plain lines elsewhere; both on standard error."""

import math
import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Watch(Protocol):
    """Where a session tells what it does."""

    def say(self, text: str) -> None:
        """Show one line."""
        ...

    def at(self, step: int, total: int, loss: float, accuracy: float) -> None:
        """Show where the training is; `accuracy` in percent, NaN of a regression."""
        ...

    def judged(self, episodes: int, total: int) -> None:
        """Show where the evaluation is."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was."""
        ...


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Ignore the line."""

    def at(self, step: int, total: int, loss: float, accuracy: float) -> None:
        """Ignore the place."""

    def judged(self, episodes: int, total: int) -> None:
        """Ignore the place."""

    def close(self) -> None:
        """Do nothing."""


class Words:
    """Shows what is said, not how far the work is."""

    def say(self, text: str) -> None:
        """Write one line."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def at(self, step: int, total: int, loss: float, accuracy: float) -> None:
        """Ignore the place."""

    def judged(self, episodes: int, total: int) -> None:
        """Ignore the place."""

    def close(self) -> None:
        """Do nothing."""


class Lines:
    """One plain line every ten seconds and at the end, for files and pipes."""

    def __init__(self, every_s: float = 10.0) -> None:
        """Show a line at most every `every_s` seconds."""
        self._every_s, self._next, self._judging = every_s, 0.0, 0.0

    def say(self, text: str) -> None:
        """Write one line."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def at(self, step: int, total: int, loss: float, accuracy: float) -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if now >= self._next or step == total:
            self._next = now + self._every_s
            self.say(f"step {step}/{total}  {_state(loss, accuracy)}")

    def judged(self, episodes: int, total: int) -> None:
        """Write a line if it is time for one, none for an evaluation that takes less."""
        now = time.monotonic()
        self._judging = self._judging or now + self._every_s
        if now >= self._judging:
            self._judging = now + self._every_s
            self.say(f"evaluation {episodes}/{total} episodes")

    def close(self) -> None:
        """Do nothing."""


class Bar:
    """A progress bar."""

    def __init__(self, console: Console) -> None:
        """Draw on `console` from the first step on."""
        state = TextColumn("{task.description}"), TextColumn("{task.fields[state]}")
        self._progress = Progress(state[0], BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), state[1], console=console)
        self._task = self._progress.add_task("meta-training", state="", visible=False)
        self._evaluation = self._progress.add_task("evaluation", state="", visible=False)

    def say(self, text: str) -> None:
        """Write one line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def at(self, step: int, total: int, loss: float, accuracy: float) -> None:
        """Move the bar."""
        self._progress.start()
        self._progress.update(self._task, completed=step, total=total, state=_state(loss, accuracy), visible=True)

    def judged(self, episodes: int, total: int) -> None:
        """Move a bar of its own."""
        self._progress.start()
        self._progress.update(self._evaluation, completed=episodes, total=total, visible=True)

    def close(self) -> None:
        """Leave the bar where it is."""
        self._progress.stop()


def _state(loss: float, accuracy: float) -> str:
    """A regression has a loss, its mean squared error, and no accuracy."""
    return f"loss {loss:.3f}" if math.isnan(accuracy) else f"loss {loss:.3f}  accuracy {accuracy:.1f} %"


def watch(quiet: bool = False) -> Watch:
    """A bar where standard error is a terminal, lines elsewhere; `quiet`: neither, only what is said."""
    if quiet:
        return Words()
    console = Console(stderr=True)
    return Bar(console) if console.is_terminal else Lines()
