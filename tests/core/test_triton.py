"""The Triton kernel equals the reference: on a CUDA device where there is one, else in Triton's interpreter on the CPU."""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from neurometa.core.kernels.choice import interpreted
from neurometa.core.neuron import LIF
from neurometa.core.scan import scan
from neurometa.errors import UserError
from tests.core.test_kernels import CLOSE, COMPILED, FEW, STEPS, Run, currents, inner, named, outer, runner, twice, weights

pytest.importorskip("triton", reason="triton is not installed: it exists for Linux on x86-64")

DEVICE = "cpu" if interpreted() else "cuda"
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: only the interpreter was tested")


@pytest.mark.parametrize("neuron", COMPILED, ids=named)
def test_spikes_potentials_and_both_derivatives_equal_the_reference(neuron: LIF) -> None:
    held = COMPILED.index(neuron) % 2 == 1  # the interpreter takes a second for each
    x = currents(held=held, channels_last=held).to(DEVICE)
    (z, v), (expected_z, expected_v) = runner(neuron, "triton")(x), runner(neuron, "reference")(x)
    assert expected_z.sum() > 10
    if neuron.surrogate.smooth:
        torch.testing.assert_close((z, v), (expected_z, expected_v), rtol=1e-13, atol=1e-14)  # another exp and atan
    else:
        assert torch.equal(z, expected_z)
        assert torch.equal(v, expected_v)
    found, expected = (twice(runner(neuron, kernel), x, True, True) for kernel in ("triton", "reference"))
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("one_output", [0, 1], ids=["spikes", "potentials"])
def test_a_cotangent_of_one_output_alone_equals_the_reference(one_output: int) -> None:
    x = currents(held=False, channels_last=False).to(DEVICE)
    used = (one_output == 0, one_output == 1)
    torch.testing.assert_close(*(twice(runner(FEW[0], kernel), x, *used) for kernel in ("triton", "reference")), **CLOSE)


@pytest.mark.parametrize("neuron", FEW, ids=named)
def test_grad_of_grad_under_vmap_equals_the_reference_one_by_one(neuron: LIF) -> None:
    x = torch.stack([weights(3, 4) + shift for shift in (0.2, 0.6)], 1).to(DEVICE)

    def run(kernel: str) -> Run:
        return lambda x: scan(neuron, x, 3, kernel=kernel)

    expected = torch.stack([torch.func.grad(outer(run("reference")))(one) for one in x.unbind(1)])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(outer(run("triton"))), in_dims=1)(x), expected, **CLOSE)


def test_a_gradient_that_is_the_same_at_every_step_is_read_rightly() -> None:
    x = currents(held=True, channels_last=True).to(DEVICE)

    def mean_rate(run: Run) -> Tensor:
        current = x.clone().requires_grad_()
        z, v = run(current)
        (first,) = torch.autograd.grad(z.mean(0).sin().sum() + v.mean(0).sum(), current, create_graph=True)
        return torch.autograd.grad(first.square().sum(), current)[0]

    torch.testing.assert_close(mean_rate(runner(FEW[0], "triton")), mean_rate(runner(FEW[0], "reference")), **CLOSE)


@pytest.mark.parametrize("hard", [True, False])
def test_float32_spikes_are_the_same_and_gradients_close(hard: bool) -> None:
    x = torch.randn(12, 300, dtype=torch.float32, generator=torch.Generator().manual_seed(1)).to(DEVICE) + 0.3  # more than two blocks
    found = []
    for kernel in ("triton", "reference"):
        current = x.clone().requires_grad_()
        z, v = scan(LIF(0.9, 0.7, hard), current, 12, kernel=kernel)
        found.append((z.detach(), v.detach(), *torch.autograd.grad((z * z).sum() + v.sin().sum(), current)))
    assert found[1][0].sum() > 100
    assert {part.dtype for part in found[0]} == {torch.float32}
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(found[0][2], found[1][2], rtol=1e-4, atol=1e-5)


@on_cuda
def test_a_long_window_on_the_device_equals_the_reference_in_spikes_and_gradients() -> None:
    x = torch.randn(200, 16, 500, dtype=torch.float32, generator=torch.Generator().manual_seed(1)).to("cuda") + 0.3
    found = []
    for kernel in ("triton", "reference"):
        current = x.clone().requires_grad_()
        z, v = scan(LIF(0.9, 0.7), current, 200, kernel=kernel)
        found.append((z.detach(), *torch.autograd.grad(z.sum() + v.sin().sum(), current)))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-5)


@on_cuda
def test_triton_is_what_a_cuda_tensor_gets() -> None:
    from neurometa.core.scan import kernel_for

    assert kernel_for(torch.zeros(1, device="cuda")) == "triton"


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from neurometa.core.kernels import triton as kernels

PASSES = {
    kernels._forward: (("current", "numbers", "z", "v"), {"rows": 2}),
    kernels._backward: (("gz", "gv", "v", "numbers", "delta"), {"z_rows": 1, "v_rows": 0, "total": True, "through": True}),
    kernels._double_backward: (
        ("h", "gz", "v", "delta", "numbers", "to_gz", "to_gv", "to_v"), {"h_rows": 2, "z_rows": 1, "through": True}
    ),
}
for code, number in ((0, "fp32"), (1, "fp64"), (2, "fp64"), (3, "fp64"), (4, "fp32")):
    for function, (pointers, constants) in PASSES.items():
        constants = {**constants, "code": code, "hard": code % 2 == 0, "smooth": code % 2 == 1, "BLOCK": kernels.BLOCK}
        kind = {n: f"*{number}" if n in pointers else "constexpr" if n in constants else "i32" for n in function.arg_names}
        source = ASTSource(fn=function, signature=kind, constexprs={n: v for n, v in constants.items() if n in kind})
        made = compile(source, target=GPUTarget("cuda", 80, 32), options={"enable_fp_fusion": False})
        double = "f64" in made.asm["ptx"]
        print(code, function.fn.__name__, len(made.asm["cubin"]) > 0, double == (number == "fp64"), "fma.rn.f32" in made.asm["ptx"])
"""


def test_every_pass_compiles_for_a_gpu_in_its_own_precision_and_without_fused_sums() -> None:
    """No device is needed to compile; single precision must not pass through double, nor must a product be fused with a sum."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, env=environment)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 15, done.stderr
    assert [line for line in lines if line[2:] != ["True", "True", "False"]] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_asked_for_without_a_device_it_is_refused_with_what_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurometa.core.kernels import choice

    monkeypatch.delenv("TRITON_INTERPRET")
    choice.missing.cache_clear()
    try:
        with pytest.raises(UserError, match=r"kernel triton given, but there is no CUDA device .*; choose kernel auto"):
            scan(LIF(), torch.zeros(STEPS, 2), STEPS, kernel="triton")
    finally:
        choice.missing.cache_clear()


def test_the_loss_of_both_outputs_has_the_references_gradient() -> None:
    x = (weights(STEPS, 3) + 0.5).to(DEVICE)
    torch.testing.assert_close(*(torch.func.grad(inner(runner(FEW[1], kernel)))(x) for kernel in ("triton", "reference")), **CLOSE)
