"""What is timed by `experiments.speed.eprop`: the gradient of one layer's weights over a long window, computed in five ways.

python -m experiments.speed.traces CASE CONTESTANT      (the rise of this process's memory, in megabytes)
"""

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.speed.memory import status
from neurometa.core.kernels import reference
from neurometa.core.lowpass import lowpass
from neurometa.core.network import Stack, mlp_network
from neurometa.core.neuron import ALIF, LIF
from neurometa.core.surrogate import Surrogate
from neurometa.plasticity.eprop import EProp
from neurometa.types import Data, Params

BATCH, OUTPUTS, KAPPA, RATE, CHUNK = 8, 10, 0.8, 0.1, 100
"""Examples, classes, decay of the readout's filter, share of input entries that are spikes, and steps of a chunk."""

SURROGATE = Surrogate("triangle", 1.0)
NEURONS = {
    "lif": LIF(0.9, 1.0, hard_reset=False, reset_gradient=False, surrogate=SURROGATE),
    "alif": ALIF(0.9, 1.0, 0.1, 0.995, hard_reset=False, reset_gradient=False, surrogate=SURROGATE),
}
"""Subtractive reset, held constant in derivatives, as in Bellec et al. 2020."""


class Case(NamedTuple):
    """N inputs into N neurons over a window."""

    neuron: str
    steps: int
    n: int

    @property
    def name(self) -> str:
        """As published."""
        return f"{self.neuron}-T{self.steps}-N{self.n}"

    def network(self) -> Stack:
        """Ours."""
        return mlp_network((self.n,), (self.n,), neuron=NEURONS[self.neuron], steps=self.steps, readout_decay=KAPPA, outputs=OUTPUTS)

    def given(self, dtype: torch.dtype) -> tuple[Params, Tensor, Tensor]:
        """Weights, input spikes (time, batch, n) and labels."""
        generator = torch.Generator().manual_seed(1)
        params = self.network().init(generator)
        params["linear1.weight"] *= (0.6 / RATE) ** 0.5 / 3
        x = torch.rand(self.steps, BATCH, self.n, generator=generator) < RATE
        return {name: value.to(dtype) for name, value in params.items()}, x.to(dtype), torch.arange(BATCH) % OUTPUTS


CASES = (Case("lif", 1000, 256), Case("alif", 1000, 256), Case("lif", 1000, 1024))


def _ours(case: Case, dtype: torch.dtype, chunk: int) -> Callable[[], Tensor]:
    params, x, y = case.given(dtype)
    network, rule = case.network(), EProp(rate=1.0, chunk=chunk)

    def run() -> Tensor:
        with torch.no_grad():
            return params["linear1.weight"] - rule.adapt(network, params, Data(x, y)).fast["linear1.weight"]

    return run


def _bptt(case: Case, dtype: torch.dtype, loop: bool) -> Callable[[], Tensor]:
    params, x, y = case.given(dtype)
    network = case.network()
    name = network.layers[2][0]

    def run() -> Tensor:
        leaves = {key: value.detach().requires_grad_() for key, value in params.items()}
        if loop:
            current = F.linear(x, leaves["linear1.weight"], leaves["linear1.bias"])
            z = reference.states(NEURONS[case.neuron], current, case.steps).z
            u, found = torch.zeros_like(z[0]), []
            for now in z.unbind(0):
                u = KAPPA * u + (1 - KAPPA) * now
                found.append(u)
            u = torch.stack(found)
        else:
            z = network.run(leaves, network.signal(x)).z[name]
            u = lowpass(F.linear(z, leaves["readout.weight"]), KAPPA)  # the filter where it is narrow
        output = u + leaves["readout.bias"] if not loop else F.linear(u, leaves["readout.weight"], leaves["readout.bias"])
        loss = F.cross_entropy(output.flatten(0, 1), y.repeat(case.steps))
        return torch.autograd.grad(loss, list(leaves.values()))[0]

    return run


def _naive(case: Case, dtype: torch.dtype) -> Callable[[], Tensor]:
    params, x, y = case.given(dtype)
    neuron: Any = NEURONS[case.neuron]
    adaptive = isinstance(neuron, ALIF)
    target = F.one_hot(y, OUTPUTS).to(dtype)

    @torch.no_grad()
    def run() -> Tensor:
        """The equations of `tests/oracles_eprop.py` in torch, all examples at once."""
        shape = (BATCH, case.n)
        v, z, a, u, psi = (x.new_zeros(shape) for _ in range(5))
        pre = x.new_zeros(shape)
        eps_a, ebar = (x.new_zeros(BATCH, case.n, case.n) for _ in range(2))
        total = x.new_zeros(case.n, case.n)
        for now in x:
            if adaptive:
                eps_a = (neuron.rho - neuron.beta * psi).unsqueeze(-1) * eps_a + psi.unsqueeze(-1) * pre.unsqueeze(1)
                a = neuron.rho * a + z
            v = neuron.decay * v - neuron.threshold * z + F.linear(now, params["linear1.weight"], params["linear1.bias"])
            pre = neuron.decay * pre + now
            above = v - neuron.threshold - (neuron.beta * a if adaptive else 0)
            psi, z = neuron.surrogate.derivative(above), (above > 0).to(x)
            vector = pre.unsqueeze(1) - neuron.beta * eps_a if adaptive else pre.unsqueeze(1)
            ebar = KAPPA * ebar + (1 - KAPPA) * psi.unsqueeze(-1) * vector
            u = KAPPA * u + (1 - KAPPA) * z
            error = (F.linear(u, params["readout.weight"], params["readout.bias"]).softmax(-1) - target) / (BATCH * case.steps)
            total += ((error @ params["readout.weight"]).unsqueeze(-1) * ebar).sum(0)
        return total

    return run


BUILD: dict[str, Callable[[Case, torch.dtype], Callable[[], Tensor]]] = {
    "neurometa": lambda case, dtype: _ours(case, dtype, 0),
    "chunked": lambda case, dtype: _ours(case, dtype, CHUNK),
    "bptt": lambda case, dtype: _bptt(case, dtype, loop=False),
    "bptt-loop": lambda case, dtype: _bptt(case, dtype, loop=True),
    "naive": _naive,
}
"""Every contestant: from a case, a function that gives the gradient of the input weights."""

OWN_PAGES = {"MALLOC_MMAP_THRESHOLD_": "65536"}
"""Gives every array of 64 KiB or more pages of its own where memory is measured: glibc's heap otherwise keeps holes between arrays, which
grow with the number of allocations and are in no contestant's hands."""


def peak_mb(case: Case, name: str) -> float:
    """Rise of resident memory while `name` runs `case`, its input not counted, in units of 10^6 bytes."""
    command = [sys.executable, "-m", "experiments.speed.traces", json.dumps(case), name]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **OWN_PAGES})
    return float(done.stdout.splitlines()[-1])


def rise_mb(case: Case, name: str) -> float:
    """The same, of this very process; a short window runs first, so that compilation is behind it."""
    BUILD[name](case._replace(steps=2 * CHUNK), torch.float32)()
    one = BUILD[name](case, torch.float32)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = status("VmRSS")
    one()
    return (status("VmHWM") - before) * 1024 / 1e6


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(rise_mb(Case(*json.loads(sys.argv[1])), sys.argv[2]))
