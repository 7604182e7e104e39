"""A run folder as `neurometa run` leaves it, invented but plausible: real letter shapes, a learning curve, spikes."""

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

LAYERS = {"lif1": (6272, 0.11), "lif2": (3136, 0.07), "lif3": (784, 0.05), "lif4": (576, 0.006)}
CONFIG = """name = "{name}"
seed = {seed}

[task]
kind = "glyphs"
ways = {ways}
shots = {shots}
queries = 5
binary = true

[network]
kind = "conv"
channels = [32, 64, 64, 64]
kernel = 3
strides = [1, 1, 1, 1]
pools = [2, 2, 2, 1]
features = "spikes"

[network.neuron]
{neuron}

[encoding]
kind = "direct"
steps = 8

[plasticity]
kind = "prototype"

[training]
steps = 2000
tasks = 1

[evaluation]
ways = {ways}
shots = {shots}
episodes = 1000
seed = 1
"""
ENVIRONMENT = {
    "format": 1,
    "neurometa": "0.1.0",
    "commit": "3f2c9d1",
    "versions": {"python": "3.11.2", "torch": "2.13.0"},
    "device": "cpu",
    "threads": 1,
}
LIF = 'kind = "lif"\ndecay = 0.5\nthreshold = 1.0'
RELU = 'kind = "relu"'


def glyphs(ways: int, each: int, generator: np.random.Generator) -> np.ndarray:
    """Draw `ways` letters `each` times, a little moved and turned: (ways, each, 1, 28, 28) of ink 0 or 1."""
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [ImageFont.truetype(str(fonts / f"DejaVu{face}.ttf"), 20) for face in ("Sans", "Serif", "SansMono", "Serif-Bold")]
    letters = generator.permutation(list("ЖфΩξДЮюψБΔ§&Ѣљ¥ЯЩ#UQ"))[:ways]
    pictures = []
    for letter in letters:
        for _ in range(each):
            picture = Image.new("L", (28, 28))
            ImageDraw.Draw(picture).text((14, 14), str(letter), fill=255, anchor="mm", font=faces[generator.integers(len(faces))])
            pictures.append(np.asarray(picture.rotate(generator.uniform(-12, 12), Image.Resampling.BICUBIC)) > 110)
    return np.stack(pictures).reshape(ways, each, 1, 28, 28).astype(np.float32)


def spikes(neurons: int, rate: float, generator: np.random.Generator) -> np.ndarray:
    """Draw a (8, neurons) raster: rates differ between neurons, and the first step is quiet."""
    chance = np.clip(generator.gamma(0.5, 2 * rate, neurons), 0, 1)
    return (generator.random((8, neurons)) < chance * np.linspace(0.2, 1.2, 8)[:, None]).astype(np.uint8)


def episode(ways: int, shots: int, spiking: bool, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Invent what episode.npz holds."""
    drawn = glyphs(ways, shots + 5, generator)
    truth = np.repeat(np.arange(ways), 5)
    called = np.where(generator.random(truth.size) < 0.04, generator.integers(ways, size=truth.size), truth)
    called[3] = ways - 1  # at least one is wrong
    layers = LAYERS if spiking else {}
    return {
        "support_x": drawn[:, :shots].reshape(-1, 1, 28, 28),
        "support_y": np.repeat(np.arange(ways), shots),
        "query_x": drawn[:, shots:].reshape(-1, 1, 28, 28),
        "query_y": truth,
        "predicted": called,
        "predicted_before": np.zeros_like(truth),
        "layers": np.array(list(layers), dtype=str),
        "rates": np.array([100 * rate for _, rate in layers.values()]),
        **{f"raster/{layer}": spikes(neurons, rate, generator) for layer, (neurons, rate) in layers.items()},
    }


def measured(ways: int, shots: int, accuracy: float) -> dict[str, object]:
    """Invent the part that summary.json and a file of evaluations/ share."""
    return {
        "schema": 1,
        "task": {"kind": "glyphs", "ways": ways, "shots": shots, "queries": 5},
        "episodes": 1000,
        "accuracy": {"mean": accuracy, "ci95": 0.31},
        "before_adaptation": {"mean": 100 / ways, "ci95": 0.0},
        "wall_s": 9.4,
    }


Maker = Callable[..., Path]


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Return a function that writes a run folder and returns its path."""

    def make(
        name: str = "glyphs-prototype", spiking: bool = True, ways: int = 5, shots: int = 1, seed: int = 0, zeroed: bool = False
    ) -> Path:
        return write(tmp_path_factory.mktemp("runs"), name, spiking, ways, shots, seed, zeroed)

    return make


def write(parent: Path, name: str, spiking: bool, ways: int, shots: int, seed: int, zeroed: bool) -> Path:
    """Write the folder under `parent`."""
    generator = np.random.default_rng([seed, spiking])
    folder = parent / f"{''.join(c for c in name if c.isalnum() or c == '-')}-20260101T120000Z-1a2b3c4d"
    (folder / "evaluations").mkdir(parents=True)
    text = CONFIG.format(name=name, seed=seed, ways=ways, shots=shots, neuron=LIF if spiking else RELU)
    (folder / "config.toml").write_text(text, encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    steps = np.arange(5, 2001, 5)
    curve = 100 - (88 if spiking else 84) * np.exp(-steps / 260) * 0.8 - 6
    curve = np.clip(curve + generator.normal(0, 5, steps.size), 0, 100)
    logged = zip(map(int, steps), map(float, curve), strict=True)
    lines = [{"step": s, "loss": 2 - a / 60, "accuracy": a, "elapsed_s": 0.03 * s, "cpu_s": 0.03 * s} for s, a in logged]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    accuracy = 93.47 if spiking else 95.12
    more = {"mean": 71.2, "ci95": 0.8} if zeroed else None
    summary = {
        **measured(ways, shots, accuracy),
        "experiment": name,
        "parameters": 112_320,
        "spikes_per_inference": 4210.5 if spiking else 0.0,
        "training": {"steps": 2000, "wall_s": 61.3, "cpu_s": 58.9} if spiking else {"steps": 2000, "wall_s": 23.8, "cpu_s": 23.1},
        "network": f"{'spiking' if spiking else 'ReLU'} Conv-4, 32-64-64-64 channels" + (", 8 time steps" if spiking else ""),
        "zeroed_hidden": more,
    }
    command = f"neurometa evaluate {folder.name} --ways {ways} --shots {shots} --queries 5 --episodes 1000 --seed 1"
    (folder / "summary.json").write_text(json.dumps({**summary, "command": command}))
    for w, s, value in ((5, 5, accuracy + 4), (20, 1, accuracy - 9.4)):
        rates = {layer: 100 * rate for layer, (_, rate) in LAYERS.items()} if spiking else {}
        other = {**measured(w, s, value), "seed": 1, "split": "unseen", "queries": 5, "rates": rates, "zeroed_hidden": more}
        command = f"neurometa evaluate {folder.name} --ways {w} --shots {s} --episodes 1000"
        (folder / "evaluations" / f"unseen-{w}w{s}s-1.json").write_text(json.dumps({**other, "command": command}))
    np.savez_compressed(folder / "episode.npz", **episode(ways, shots, spiking, generator))
    (folder / "done").write_text("")
    return folder
