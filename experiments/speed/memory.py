"""Peak memory of one contestant: a process of its own runs forward and backward, and the system says how far its memory rose.

    python -m experiments.speed.memory CASE CONTESTANT

The process builds the case and runs it once at five time steps, so that imports and compilation are behind it, gives what it freed back
to the system, sets the system's high-water mark to where it stands, runs the whole window once, and prints the rise in megabytes.
Linux only: /proc/self/clear_refs and VmHWM of /proc/self/status.
"""

import ctypes
import gc
import json
import statistics
import subprocess
import sys
from pathlib import Path

import torch

from experiments.speed.libraries import everyone
from experiments.speed.windows import Case

TELLS = Path("/proc/self/clear_refs").exists()
"""Whether the system tells how much memory a process took at most."""


def peak_mb(case: Case, name: str, processes: int = 3) -> float:
    """Rise of resident memory while `name` runs `case`, in units of 10^6 bytes, where the system `TELLS`: the median of some processes."""
    command = [sys.executable, "-m", "experiments.speed.memory", json.dumps(case), name]
    done = (subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(processes))
    return statistics.median(float(one.stdout.splitlines()[-1]) for one in done)


def rise_mb(case: Case, name: str) -> float:
    """The same, of this very process."""
    build = everyone()[name]
    short = case._replace(steps=5)
    build(short, short.inputs(torch.float32), short.params(torch.float32)).both()
    one = build(case, case.inputs(torch.float32), case.params(torch.float32))
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = status("VmRSS")
    one.both()
    return (status("VmHWM") - before) * 1024 / 1e6


def status(key: str) -> int:
    """A figure of /proc/self/status, in kibibytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))


if __name__ == "__main__":
    torch.set_num_threads(1)
    given, contestant = json.loads(sys.argv[1]), sys.argv[2]
    print(rise_mb(Case(given[0], tuple(given[1]), *given[2:]), contestant))
