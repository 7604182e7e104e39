"""Lava as the referee: what the emulator says is what Intel's own model of the arithmetic does. Skipped where Lava is not installed."""

import os
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from neurometa.errors import UserError
from neurometa.export import lava
from neurometa.export.bundle import Bundle, Input, Network, Population, Readout, Synapses
from neurometa.export.emulator import play
from neurometa.export.lava import Job, LavaPlayed, run
from tests.export.networks import random_bundle

SEEDS = st.integers(0, 2**32 - 1)


def ten(seed: int) -> list[dict]:
    """What ten networks are like, of every kind."""
    seeds = np.random.SeedSequence(seed).generate_state(10)
    return [
        {"seed": int(own), "recurrent": i % 2 == 0, "conv": i % 3 == 0, "layers": 1 + i % 3, "extreme": i % 5 < 2}
        for i, own in enumerate(seeds)
    ]


@pytest.fixture(scope="module")
def installed() -> None:
    if lava.interpreter() is None:
        pytest.skip("no Lava environment: `neurometa lava install` makes one; nothing was compared with Lava")


def compare(job: Job, played: LavaPlayed, what: object) -> int:
    """Assert that emulator and Lava agree bit for bit; return how many spikes there were."""
    expected = play(job.bundle, job.given, timed=job.given.ndim == 3)
    for name, spikes in expected.spikes.items():
        np.testing.assert_array_equal(spikes, played.spikes[name], err_msg=f"{what}: spikes of {name}")
        np.testing.assert_array_equal(expected.potential[name], played.potential[name], err_msg=f"{what}: potential of {name}")
    return sum(int(spikes.sum()) for spikes in expected.spikes.values())


def compare_ten(descriptions: list[dict], batched: int) -> None:
    """Ten networks, one sample each with nothing but stock processes; the first ones also in a batch of three."""
    made = [(about, *random_bundle(**about, steps=16)) for about in descriptions]
    jobs = [(about, Job(bundle, spikes[..., :1], stock=True)) for about, bundle, spikes in made]
    jobs += [(about, Job(bundle, spikes)) for about, bundle, spikes in made[:batched]]
    played = run([job for _, job in jobs], timeout_s=400)
    spiked = sum(compare(job, one, about) for (about, job), one in zip(jobs, played, strict=True))
    assert spiked > 100, "silent networks prove nothing"


@pytest.mark.usefixtures("installed")
@pytest.mark.slow
@settings(max_examples=2, phases=[Phase.generate])
@given(SEEDS)
def test_twenty_random_networks_spike_alike(seed: int) -> None:
    compare_ten(ten(seed), 1)


@pytest.mark.usefixtures("installed")
@pytest.mark.thorough
@settings(max_examples=20, phases=[Phase.generate])
@given(SEEDS)
def test_two_hundred_random_networks_spike_alike(seed: int) -> None:
    compare_ten(ten(seed), 10)


def adaptive(seed: int, count: int) -> list[tuple[dict, Bundle, np.ndarray]]:
    """Networks whose thresholds adapt, of every kind: recurrent, with a convolution, with constants of each neuron, saturating."""
    kinds = [{**about, "adaptive": True} for about in ten(seed)[:count]]
    return [(about, *random_bundle(**about, steps=16)) for about in kinds]


def compare_adaptive(made: list[tuple[dict, Bundle, np.ndarray]]) -> None:
    jobs = [(about, Job(bundle, spikes)) for about, bundle, spikes in made]
    played = run([job for _, job in jobs], timeout_s=400)
    assert sum(compare(job, one, about) for (about, job), one in zip(jobs, played, strict=True)) > 100, "silent networks prove nothing"


@pytest.mark.usefixtures("installed")
@pytest.mark.slow
def test_adaptive_thresholds_spike_alike() -> None:
    made = adaptive(0, 6)
    assert sum(one.adapts for _, bundle, _ in made for one in bundle.network.populations) > 6
    compare_adaptive(made)


@pytest.mark.usefixtures("installed")
@pytest.mark.thorough
@settings(max_examples=10, phases=[Phase.generate])
@given(SEEDS)
def test_a_hundred_networks_with_adaptive_thresholds_spike_alike(seed: int) -> None:
    compare_adaptive(adaptive(seed, 10))


@pytest.mark.usefixtures("installed")
def test_stock_processes_with_an_adaptive_threshold_are_refused_by_name() -> None:
    _, bundle, spikes = adaptive(0, 1)[0]
    with pytest.raises(UserError, match=r"p1 has an adaptive threshold, which none of Lava's own processes has"):
        run([Job(bundle, spikes, stock=True)])


def endless() -> Job:
    """A network that runs for minutes."""
    arrays = {"w": np.full((2, 3), 100, np.int32)}
    network = Network(
        "long",
        500_000,
        Input((3,)),
        (Population("p", (2,), 4095, 0, 10),),
        (Synapses("s", "input", "p", "w"),),
        Readout("p", "spikes", 1.0),
    )
    return Job(Bundle(network, arrays), np.ones((3, 1), np.uint8))


def members(group: int) -> list[int]:
    """Living processes of a process group."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) == group and words[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def workers() -> list[int]:
    """Process groups of workers that this process started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            ours = parent == os.getpid() and b"neurometa_lava" in (entry / "cmdline").read_bytes()
        except OSError:
            continue
        found += [int(entry.name)] if ours else []
    return found


@pytest.mark.usefixtures("installed")
def test_a_run_that_hangs_ends_in_an_error_and_leaves_nothing() -> None:
    began, seen = time.monotonic(), []
    watch = threading.Thread(target=lambda: (time.sleep(2.5), seen.extend(workers())))
    watch.start()
    with pytest.raises(UserError, match="did not finish within 4 s"):
        run([endless()], timeout_s=4)
    watch.join()
    assert time.monotonic() - began < 30
    assert len(seen) == 1
    assert members(seen[0]) == []


@pytest.mark.usefixtures("installed")
def test_a_worker_that_dies_ends_in_an_error_and_leaves_nothing() -> None:
    seen = []

    def kill() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            time.sleep(0.3)
            for group in workers():
                alive = [pid for pid in members(group) if pid != group]
                if len(alive) >= 3:  # Lava's own processes
                    seen.append(group)
                    os.kill(max(alive), signal.SIGKILL)
                    return

    murder = threading.Thread(target=kill)
    murder.start()
    with pytest.raises(UserError, match="a Lava worker died"):
        run([endless()], timeout_s=90)
    murder.join()
    assert members(seen[0]) == []


def test_a_worker_that_does_not_heed_its_timeout_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tmp_path / "python"
    deaf.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/group\ntrap '' TERM\nsleep 300 & sleep 300 & wait\n")
    deaf.chmod(deaf.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(lava, "GRACE_S", 0.5)
    with pytest.raises(UserError, match=r"did not finish within 0\.5 s and was stopped"):
        run([endless()], timeout_s=0.5, python=deaf)
    assert members(int((tmp_path / "group").read_text())) == []


def test_without_an_environment_the_way_to_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(lava.VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match="neurometa lava install"):
        run([endless()])


@pytest.mark.usefixtures("installed")
@pytest.mark.slow
def test_the_tests_of_neurometa_lava_itself_pass() -> None:
    python = lava.needed()
    done = subprocess.run([str(python), "-m", "pytest", "-q", "tests"], cwd=lava.SOURCE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "passed" in done.stdout
