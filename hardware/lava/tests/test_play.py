"""Played with stock processes alone and with connections that know a batch: the same. Bad bundles are refused before anything runs."""

import hashlib
import io
import json
import math
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from neurometa_lava.bundle import Bundle, Refused, read
from neurometa_lava.guard import _exit_code
from neurometa_lava.play import play
from neurometa_lava.unrolled import unrolled

ROOT = pathlib.Path(__file__).resolve().parents[1]


def made(seed=0):
    """A convolution behind a summing pool, and a dense recurrent population; integers with their floats."""
    rng = np.random.default_rng(seed)
    conv = {"name": "conv", "source": "input", "target": "a", "weight": "k", "kind": "conv", "padding": 1, "pool": 2, "exponent": 1}
    rest = [{"name": "s", "source": "a", "target": "b", "weight": "w"}, {"name": "r", "source": "b", "target": "b", "weight": "r", "sign": "excitatory"}]
    network = {
        "name": "n",
        "steps": 12,
        "input": {"shape": [2, 5, 5], "kind": "spikes"},
        "populations": [
            {"name": "a", "shape": [3, 2, 2], "du": 4095, "dv": 400, "vth": 300, "bias": "a.bias", "bias_exp": 3, "onset": 1},
            {"name": "b", "shape": [4], "du": 1500, "dv": "dv", "vth": 250, "onset": 2},
        ],
        "synapses": [conv, *rest],
        "readout": {"population": "b", "read": "spikes", "scale": 1.0},
    }
    arrays = {
        "k": rng.integers(-128, 128, (3, 2, 3, 3)) * 2,
        "w": rng.integers(-100, 128, (4, 12)) * 2,
        "r": rng.integers(0, 60, (4, 4)),
        "a.bias": rng.integers(-100, 300, 12),
        "dv": rng.integers(0, 3000, 4),
    }
    arrays = {name: array.astype(np.int32) for name, array in arrays.items()}
    floats = {name: array / 64 for name, array in arrays.items() if name in "kwr"}
    floats.update({"a.du": np.array(1.0), "a.dv": np.array(0.1), "a.vth": np.array(9.0), "a.bias": arrays["a.bias"] / 64})
    floats.update({"b.du": np.array(0.4), "b.dv": arrays["dv"] / 4096, "b.vth": np.array(5.0)})
    return Bundle(network, arrays, floats), (rng.random((12, 50, 2)) < 0.4).astype(np.uint8)


@pytest.mark.parametrize("arithmetic", ["fixed", "float"])
def test_a_batch_is_what_stock_processes_do_one_by_one(arithmetic):
    bundle, spikes = made()
    together, alone = (play(bundle, spikes, timed=True, arithmetic=arithmetic, stock=stock) for stock in (False, True))
    assert all(rows.sum() > 10 for rows in together.spikes.values()), "a silent network proves nothing"
    for name in together.spikes:
        np.testing.assert_array_equal(together.spikes[name], alone.spikes[name])
        np.testing.assert_allclose(together.potential[name], alone.potential[name], rtol=1e-12, atol=1e-12)


def test_an_adaptive_threshold_is_what_plain_python_says():
    network = {
        "name": "n",
        "steps": 20,
        "input": {"shape": [1], "kind": "spikes"},
        "populations": [{"name": "p", "shape": [2], "du": 4095, "dv": 500, "vth": 50, "onset": 1, "interval": 15, "da": "da", "beta": 70}],
        "synapses": [{"name": "s", "source": "input", "target": "p", "weight": "w"}],
    }
    arrays = {"w": np.array([[80], [120]], np.int32), "da": np.array([200, 900], np.int32)}
    floats = {"w": arrays["w"] / 1.0, "p.du": np.array(1.0), "p.dv": np.array(500 / 4096), "p.vth": np.array(50.0), "p.da": arrays["da"] / 4096, "p.beta": np.array(70.0)}
    played = {kind: play(Bundle(network, arrays, floats), np.ones((1, 1), np.uint8), timed=False, arithmetic=kind) for kind in ("fixed", "float")}
    for i, (w, da) in enumerate(((80, 200), (120, 900))):
        v, b, spikes = 0, 0, []
        for t in range(20):
            if t in (1, 16):
                v, b = 0, 0
            v = v * 3596 // 4096 + (64 * w if t else 0)
            spikes.append(v > 64 * 50 + b)
            v, b = (0, b * (4096 - da) // 4096 + 64 * 70) if spikes[-1] else (v, b * (4096 - da) // 4096)
        assert 3 < sum(spikes) < 15, "it fires, and adapts"
        for found in played.values():
            np.testing.assert_array_equal(found.spikes["p"][:, i, 0], spikes)
        assert played["fixed"].potential["p"][i, 0] == v
    with pytest.raises(Refused, match="p has an adaptive threshold"):
        play(Bundle(network, arrays, floats), np.ones((1, 1), np.uint8), timed=False, stock=True)


def test_an_unrolled_convolution_has_a_synapse_for_each_product():
    bundle, _ = made()
    conv = bundle.network["synapses"][0]
    matrix = unrolled(bundle.arrays["k"], (2, 5, 5), (3, 2, 2), conv).toarray()
    x = np.random.default_rng(1).integers(0, 2, (2, 5, 5))
    summed = np.pad(x[:, :4, :4].reshape(2, 2, 2, 2, 2).sum((2, 4)), ((0, 0), (1, 1), (1, 1)))
    expected = [(bundle.arrays["k"][o] * summed[:, i : i + 3, j : j + 3]).sum() for o in range(3) for i in range(2) for j in range(2)]
    np.testing.assert_array_equal(matrix @ x.ravel(), expected)


def save(folder, bundle, **changes):
    buffer = io.BytesIO()
    np.savez(buffer, **bundle.arrays)
    (folder / "arrays.npz").write_bytes(buffer.getvalue())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    described = {"format": "neurometa-loihi", "version": 1, "network": bundle.network, "arrays": {"file": "arrays.npz", "sha256": digest}}
    described.update(changes)
    (folder / "bundle.json").write_text(json.dumps(described))
    return folder


def test_a_sound_bundle_is_read(tmp_path):
    bundle, _ = made()
    found = read(save(tmp_path, bundle))
    assert found.network == bundle.network
    assert sorted(found.arrays) == sorted(bundle.arrays)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 3}, "use a newer one"),
        ({"format": "x"}, "expected 'neurometa-loihi'"),
        ({"arrays": {"file": "../arrays.npz", "sha256": "0"}}, "not the name of a file"),
        ({"arrays": {"file": "arrays.npz", "sha256": "0" * 64}}, "checksum differs"),
        ({"network": None}, "is damaged"),
    ],
)
def test_a_bad_description_is_refused(tmp_path, changes, says):
    save(tmp_path, made()[0], **changes)
    with pytest.raises(Refused, match=says):
        read(tmp_path)


def test_integers_out_of_range_and_truncated_arrays_are_refused(tmp_path):
    bundle, _ = made()
    for name, array, says in (("w", bundle.arrays["w"] + 300, "has integers from"), ("w", bundle.arrays["w"][:-1], "has shape"), ("dv", -bundle.arrays["dv"], "integers")):
        with pytest.raises(Refused, match=says):
            read(save(tmp_path, bundle._replace(arrays={**bundle.arrays, name: array.astype(np.int32)})))
    for beta, says in ((-1, "a.beta = -1"), (1 << 17, "a.beta"), ("absent", "array absent is missing")):
        bundle.network["populations"][0]["beta"] = beta
        with pytest.raises(Refused, match=says):
            read(save(tmp_path, bundle))
    bundle.network["populations"][0]["vth"] = math.nan
    with pytest.raises(Refused, match="whole number"):
        read(save(tmp_path, bundle))


def run(code, **words):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, start_new_session=True, **words)


def test_the_guard_ends_a_run_whose_worker_died():
    code = "import multiprocessing as m, os, time; from neurometa_lava.guard import Guard; Guard(50); p = m.Process(target=os._exit, args=(5,)); p.start(); time.sleep(55)"
    done = run(code)
    assert done.returncode != 0
    assert "a Lava worker died (exit code 5)" in done.stderr


def test_the_guard_ends_a_run_that_takes_too_long():
    done = run("import time; from neurometa_lava.guard import Guard; Guard(0.5); time.sleep(55)")
    assert done.returncode != 0
    assert "did not finish within 0.5 s" in done.stderr


@pytest.mark.parametrize(("ending", "code"), [("os._exit(5)", 5), ("os._exit(0)", 0), ("os.kill(os.getpid(), 9)", -9)])
def test_the_guard_leaves_a_child_for_lava_to_reap(ending, code):
    """Were it reaped by the guard's thread, `join` followed by `close`, which is what Lava does, would sometimes find it still running."""
    child = multiprocessing.get_context("fork").Process(target=lambda: exec(ending))
    child.start()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert _exit_code(child) == code
    assert os.waitpid(child.pid, os.WNOHANG)[0] == child.pid
    assert _exit_code(child) == 0  # gone: nothing to be said


def test_a_child_that_runs_or_was_closed_did_not_die():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0.2,))
    assert _exit_code(child) == 0
    child.start()
    assert _exit_code(child) == 0
    child.join()
    child.close()
    assert _exit_code(child) == 0
