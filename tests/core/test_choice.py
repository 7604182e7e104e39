"""Which kernel is used, and what is said where it cannot be."""

import subprocess
import sys

import pytest
import torch

from neurometa.core.kernels import choice
from neurometa.errors import UserError

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None  # importing it now fails
import torch
from neurometa.core.kernels.choice import kernel_for, missing
from neurometa.core.neuron import LIF
from neurometa.core.scan import scan
z, _ = scan(LIF(), torch.full((3, 2), 2.0), 3)
scan(LIF(), torch.full((3, 2), 2.0), 3)
print(int(z.sum()), kernel_for(z), missing("numba"))
"""


def test_without_numba_the_reference_runs_and_one_line_says_so() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("6 reference numba cannot be imported")
    (line,) = done.stderr.splitlines()
    assert line.startswith("kernel numba is missing, the slow reference runs instead: numba cannot be imported")
    assert line.endswith("install it with `pip install numba`")


@pytest.mark.parametrize(
    ("kernel", "x", "message"),
    [
        ("cuda", torch.zeros(3, 2), "kernel 'cuda' is not known: expected one of reference, numba, triton"),
        ("numba", torch.zeros(3, 2, device="meta"), "kernel numba given for device meta, expected reference"),
        ("numba", torch.zeros(3, 2, dtype=torch.bfloat16), "kernel numba given for torch.bfloat16, expected float32 or float64"),
    ],
)
def test_a_kernel_that_cannot_run_there_is_refused_with_what_to_choose(kernel: str, x: torch.Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choice.kernel_for(x, kernel)


def test_a_kernel_asked_for_by_hand_is_the_one_that_runs() -> None:
    x = torch.zeros(3, 2)
    assert [choice.kernel_for(x, kernel) for kernel in ("reference", "numba")] == ["reference", "numba"]
    assert choice.kernel_for(x) == "numba"
