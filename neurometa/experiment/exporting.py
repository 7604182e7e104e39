"""Export the learner of a run to Loihi's integers, prove what was exported, and write down what came out."""

import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from neurometa.core.layer import Spiking
from neurometa.core.network import Stack
from neurometa.core.segments import Segmented
from neurometa.errors import UserError
from neurometa.experiment import atomic, build, checkpoint, estimation, folder
from neurometa.experiment.folder import Run
from neurometa.experiment.progress import Watch
from neurometa.experiment.rounding import Asked, Exported, calibration, exported
from neurometa.experiment.verifying import verified
from neurometa.export import bundle as bundles
from neurometa.export import lava, nir
from neurometa.export.loihi import resources

__all__ = ["Asked", "Exported", "calibration", "exported", "to_loihi", "to_nir"]

SCHEMA = 1
"""Version of export.json."""


def to_loihi(run: Run, asked: Asked, data: Path | None, watch: Watch) -> dict[str, Any]:
    """Export a learner, write the bundle and its float network, verify it where that was asked for, and keep export.json in the run folder.

    Returns:
        The content of export.json.
    Raises:
        UserError: the learner cannot be exported or verified; the message says what to choose.
    """
    if asked.episodes is not None and asked.episodes < 2:
        raise UserError(f"{asked.episodes} episodes given, expected at least 2: one episode has no interval")
    if asked.given not in ("auto", "spikes", "bias"):
        raise UserError(f"--input {asked.given} given, expected auto, spikes or bias")
    if asked.bits is not None and not 2 <= asked.bits <= 8:
        raise UserError(f"--bits {asked.bits} given, expected 2 to 8")
    if asked.learning not in ("host", "chip"):
        raise UserError(f"--learning {asked.learning} given, expected host or chip")
    if asked.verify == "lava":
        lava.needed()
    card = estimation.cards([asked.chip], None)[0]
    made = exported(run, asked, data)
    bundles.write(asked.out, made.written)
    adaptive = any(one.adapts for one in made.written.network.populations)
    graph = None if adaptive else to_nir(run, asked.out, asked.dt)["out"]  # which has no node for such neurons
    answer: dict[str, Any] = {
        "schema": SCHEMA,
        "run": run.experiment.name,
        "to": "loihi",
        "out": str(asked.out),
        "nir": graph,
        "bits": made.bundle.network.synapses[-1].bits,
        "steps": made.bundle.network.steps,
        "input": made.bundle.network.input.kind,
        "learning": _learning(made),
        "verify": None,
        "resources": resources(made.written, card),
        "rounding": [one._asdict() for one in made.rounding],
    }
    if asked.verify:
        try:
            answer["verify"], arrays = verified(run, made, bundles.read(asked.out), asked, data, watch)
        finally:
            watch.close()
        if not run.published:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
            atomic.replace(run.path / "export.npz", buffer.getvalue())
    if not run.published:
        folder.write_json(run.path / "export.json", answer)
    return answer


def to_nir(run: Run, out: Path, dt: float) -> dict[str, Any]:
    """Write a learner's slow network as a NIR graph, its plasticity in the metadata.

    Returns:
        What was written, as plain data.
    """
    saved, experiment = checkpoint.read(run.checkpoint), run.experiment
    learner, params = build.learner(experiment, build.question(experiment).ways), saved.parameters()
    network = learner.network.stack if isinstance(learner.network, Segmented) else learner.network
    if not isinstance(network, Stack):
        raise UserError(f"a network of kind {type(network).__name__} cannot be exported: expected a row of layers, such as mlp or conv")
    steps = next((layer.steps for _, layer in network.layers if isinstance(layer, Spiking)), 1)
    rule = {key: value for key, value in msgspec.to_builtins(experiment.plasticity).items() if value is not None}
    own = {
        name: value.tolist() for name, value in params.items() if name.split(".")[0] not in dict(network.layers) and value.numel() <= 1000
    }
    encoding = msgspec.to_builtins(experiment.encoding)
    graph = nir.to_nir(network, params, dt, steps, {"plasticity": rule, "plasticity_parameters": own, "encoding": encoding})
    nir.write_nir(out / "model.nir", graph)
    return {
        "schema": SCHEMA,
        "run": experiment.name,
        "to": "nir",
        "out": str(out / "model.nir"),
        "nodes": {name: type(node).__name__ for name, node in graph.nodes.items()},
        "dt_s": dt,
    }


def _learning(made: Exported) -> dict[str, Any]:
    """Where the readout learns, and by what rule of the chip."""
    if made.onchip is None:
        return {"where": "host"}
    rule = made.onchip.rule
    about = {"dw": rule.learning.dw, "scale": rule.scale, "passes": rule.passes, "blank": rule.blank}
    return {"where": "chip", **about, "steps": made.onchip.bundle.network.steps}
