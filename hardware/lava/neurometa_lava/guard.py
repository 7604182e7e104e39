"""Sees to it that a run ends: a Lava worker that dies leaves its parent waiting for ever, and a run may hang.

The whole process group is killed when time is up, when a worker dies, or when whoever started the run is gone.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time

class Guard:
    """Watches the current process, which becomes the leader of a process group, until `release`."""

    def __init__(self, timeout_s: float) -> None:
        if os.getpgrp() != os.getpid():
            os.setpgid(0, 0)
        self._parent, self._leader = os.getppid(), os.getpid()
        self._until, self._timeout_s = time.monotonic() + timeout_s, timeout_s
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def release(self) -> None:
        """The run has ended by itself."""
        self._over.set()

    def _watch(self) -> None:
        children = set()
        while not self._over.wait(0.1):
            children.update(multiprocessing.process._children)  # active_children() would forget the dead before we see them
            dead = [code for code in map(_exit_code, children) if code]
            if dead and not self._over.is_set():
                self._end(f"a Lava worker died (exit code {dead[0]})")
            if time.monotonic() > self._until:
                self._end(f"Lava did not finish within {self._timeout_s:g} s")
            if os.getppid() != self._parent:
                self._end("whoever started this run is gone")

    def _end(self, why: str) -> None:
        sys.stderr.write(f"neurometa-lava: {why}\n")
        sys.stderr.flush()
        os.killpg(self._leader, signal.SIGKILL)


def _exit_code(child) -> int:
    """What a process ended with; 0 while it runs, and once Lava closed it.

    It is left for Lava to reap: were it reaped here, Python would tell Lava, which joins and then closes it, that it is still running.
    """
    popen = child._popen  # None before its start and after its end
    if popen is None or popen.returncode is not None:
        return popen.returncode if popen else 0
    try:
        ended = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    if ended is None:
        return 0
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
