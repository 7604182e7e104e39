"""Freed memory is kept, asked in a process of its own because the setting is the process's."""

import platform
import subprocess
import sys

import pytest

ASK = """
import resource
import numpy as np
from neurometa.core.allocator import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(1 << 22)  # 32 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
released = faults()
kept = keep_memory()
faults()
print(int(kept), released, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_a_large_array_reuses_the_pages_of_the_last():
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    kept, before, after = map(int, done.stdout.split())
    assert kept == 1
    assert before > 10, "without it the pages are new every time"
    assert after < before / 2


def test_elsewhere_it_does_nothing_and_says_so(monkeypatch):
    from neurometa.core import allocator

    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert allocator.keep_memory() is False
