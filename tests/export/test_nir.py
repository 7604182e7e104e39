"""NIR: what is written is read and runs alike; graphs as snnTorch and Norse write them; what cannot be read is refused by name."""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

from neurometa.core.network import Stack, conv_network, mlp_network
from neurometa.core.neuron import ALIF, IF, LIF, CurrentLIF
from neurometa.errors import UserError
from neurometa.export.nir import from_nir, to_nir, write_nir
from tests.export.test_loihi import NETWORKS, STEPS, trained

OTHERS = {
    "subtractive reset": lambda: mlp_network((1, 6, 6), (16, 12), neuron=LIF(0.8, 0.5, hard_reset=False), steps=STEPS),
    "own readout": lambda: mlp_network((1, 6, 6), (16, 12), neuron=CurrentLIF(0.8, 0.4, 0.5), steps=STEPS, outputs=5),
    "no leak": lambda: conv_network((1, 8, 8), (4, 5), (1, 1), (2, 1), neuron=IF(0.8), steps=STEPS, outputs=3),
}


@pytest.mark.parametrize("name", [*(name for name in NETWORKS if "adaptive" not in name), *OTHERS])  # NIR has no node for those
def test_what_is_written_is_read_and_runs_alike(name: str, generator: torch.Generator, tmp_path: Path) -> None:
    network: Stack = (NETWORKS | OTHERS)[name]()
    params = trained(network, generator)
    x = (torch.rand(6, *network.shape, generator=generator) < 0.5).double()
    write_nir(tmp_path / "model.nir", to_nir(network, params, 1e-3, STEPS))
    again, own = from_nir(tmp_path / "model.nir")
    expected, found = network.run(params, network.signal(x)), again.run(own, again.signal(x))
    torch.testing.assert_close(found.output.flatten(1), expected.output.flatten(1), rtol=1e-9, atol=1e-9)
    assert expected.z.keys() == found.z.keys()
    for layer, spikes in expected.z.items():
        assert 0.02 < float(spikes.mean()) < 0.98, "a silent network proves nothing"
        torch.testing.assert_close(found.z[layer], spikes, rtol=0, atol=0)


def snntorch_like(dt: float = 1e-4) -> nir.NIRGraph:
    """As `snntorch.export_nir` writes Linear, Leaky, Linear, RSynaptic: r = tau / dt, recurrence as a subgraph."""
    rng = np.random.default_rng(0)

    def neuron(kind: Any, n: int, **taus: np.ndarray) -> Any:
        zero, threshold = np.zeros(n), np.full(n, 0.5)
        if kind is nir.LIF:
            return nir.LIF(taus["tau"], taus["tau"] / dt, zero, threshold, zero)
        return nir.CubaLIF(taus["syn"], taus["mem"], taus["mem"] / dt, zero, threshold, zero, taus["syn"] / dt)

    def tau(decay: float, n: int) -> np.ndarray:
        return np.full(n, dt / (1 - decay))

    inner = nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array([5])}),
            "lif": neuron(nir.CubaLIF, 5, syn=tau(0.6, 5), mem=tau(0.8, 5)),
            "w_rec": nir.Linear(rng.normal(0, 0.5, (5, 5))),
            "output": nir.Output({"output": np.array([5])}),
        },
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
    )
    nodes = {
        "input": nir.Input({"input": np.array([8])}),
        "0": nir.Affine(rng.normal(0, 0.6, (6, 8)), rng.normal(0, 0.2, 6)),
        "1": neuron(nir.LIF, 6, tau=dt / (1 - rng.uniform(0.5, 0.95, 6))),
        "2": nir.Affine(rng.normal(0, 0.6, (5, 6)), np.zeros(5)),
        "3": inner,
        "output": nir.Output({"output": np.array([5])}),
    }
    return nir.NIRGraph(nodes, [("input", "0"), ("0", "1"), ("1", "2"), ("2", "3"), ("3", "output")], type_check=False)


def euler(graph: nir.NIRGraph, x: np.ndarray, dt: float) -> list[np.ndarray]:
    """The graph's own differential equations by forward Euler; spikes of both populations, (steps, n)."""
    first, second, inner = graph.nodes["0"], graph.nodes["2"], graph.nodes["3"].nodes
    lif, cuba, loop = graph.nodes["1"], inner["lif"], inner["w_rec"]
    v, i, u, z = np.zeros(6), np.zeros(5), np.zeros(5), np.zeros(5)
    kept: list[list[np.ndarray]] = [[], []]
    for now in x:
        v = v + dt / lif.tau * (lif.v_leak - v + lif.r * (first.weight @ now + first.bias))
        fired = (v > lif.v_threshold).astype(float)
        v = np.where(fired == 1, 0.0, v)
        i = i + dt / cuba.tau_syn * (cuba.w_in * (second.weight @ fired + second.bias + loop.weight @ z) - i)
        u = u + dt / cuba.tau_mem * (cuba.v_leak - u + cuba.r * i)
        z = (u > cuba.v_threshold).astype(float)
        u = np.where(z == 1, 0.0, u)
        kept[0].append(fired)
        kept[1].append(z)
    return [np.array(rows) for rows in kept]


@pytest.mark.parametrize("dt", [1e-4, 1e-3])
def test_a_graph_spikes_as_its_differential_equations_do(dt: float) -> None:
    graph = snntorch_like(dt)
    network, params = from_nir(graph, dt)
    x = (np.random.default_rng(1).random((30, 8)) < 0.4).astype(float)
    record = network.run(params, network.signal(torch.tensor(x[:, None])))
    for name, expected in zip(record.z, euler(graph, x, dt), strict=True):
        assert expected.sum() > 10
        np.testing.assert_array_equal(record.z[name][:, 0].numpy(), expected, err_msg=name)


def test_a_neuron_of_norse_with_resistance_1_and_a_leak_is_read(generator: torch.Generator) -> None:
    tau, dt = np.array([0.01, 0.02, 0.005]), 0.001
    node = nir.LIF(tau, np.ones(3), np.array([0.1, 0.0, 0.3]), np.full(3, 0.4), np.zeros(3))
    nodes = {
        "in": nir.Input({"input": np.array([3])}),
        "w": nir.Linear(np.eye(3) * 3),
        "lif": node,
        "out": nir.Output({"output": np.array([3])}),
    }
    network, params = from_nir(nir.NIRGraph(nodes, [("in", "w"), ("w", "lif"), ("lif", "out")]), dt)
    x = (torch.rand(40, 1, 3, generator=generator) < 0.5).double()
    record, v = network.run(params, network.signal(x)), np.zeros(3)
    for t in range(40):
        v = v + dt / tau * (node.v_leak - v + 3 * x[t, 0].numpy())
        np.testing.assert_allclose(record.v["lif"][t, 0].numpy(), v, rtol=1e-6)
        v = np.where(v > 0.4, 0.0, v)
    assert record.z["lif"].sum() > 5


def change(**changes: Any) -> nir.NIRGraph:
    graph = snntorch_like()
    nodes, edges = {**graph.nodes, **changes.pop("nodes", {})}, changes.pop("edges", graph.edges)
    return nir.NIRGraph(nodes, edges, type_check=False)


EDGES = [("input", "0"), ("0", "1"), ("1", "2"), ("2", "3"), ("3", "output")]
BROKEN = {
    "node 1 is Threshold": lambda: change(nodes={"1": nir.Threshold(np.ones(6))}),
    "close a cycle": lambda: change(edges=[*EDGES[:3], ("2", "0")]),
    "without branches": lambda: change(edges=[*EDGES, ("1", "3.output2")], nodes={"3.output2": nir.Output({"output": np.array([6])})}),
    "which is no node": lambda: change(edges=[*EDGES, ("1", "nowhere")]),
    "resets to v_reset = 0.2": lambda: change(nodes={"1": nir.LIF(*[np.ones(6)] * 2, np.zeros(6), np.ones(6), np.full(6, 0.2))}),
    "expected at least dt": lambda: change(nodes={"1": nir.LIF(np.full(6, 1e-6), *[np.ones(6)] * 3)}),
    "does not lie on the way": lambda: change(nodes={"lost": nir.Affine(np.ones((2, 2)), np.ones(2))}),
    "the file is damaged": lambda: change(nodes={"2": nir.Affine(np.ones((5, 9)), np.ones(5))}),
}


@pytest.mark.parametrize("says", BROKEN)
def test_what_cannot_be_read_is_refused_by_name(says: str) -> None:
    with pytest.raises(UserError, match=says):
        from_nir(BROKEN[says](), 1e-4)


def test_a_time_step_is_asked_for_where_the_file_says_none() -> None:
    with pytest.raises(UserError, match=r"snnTorch's is 1e-4"):
        from_nir(snntorch_like())


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.nir"
    for content in (b"", b"hello", b"\x89HDF\r\n\x1a\n" + b"\x00" * 40):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.nir"):
            from_nir(path)
    with pytest.raises(UserError, match="cannot be read"):
        from_nir(tmp_path / "absent.nir")


def test_what_nir_lacks_is_refused_by_name(generator: torch.Generator) -> None:
    for network, says in (
        (mlp_network((1, 6, 6), (16,), neuron=ALIF(), steps=STEPS), "is ALIF"),
        (conv_network((1, 8, 8), (4,), (1,), (2,), pooling="max", features="spikes", neuron=LIF(), steps=STEPS), "takes the maximum"),
    ):
        with pytest.raises(UserError, match=says):
            to_nir(network, trained(network, generator))
