"""The stock LIFReset that keeps its spikes and writes them to a file when the window ends, instead of a message for every number."""

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.proc.lif.models import PyLifResetModelBitAcc, PyLifResetModelFloat
from lava.proc.lif.process import LIFReset


class RecordedLIF(LIFReset):
    """LIFReset whose `keep` is (steps, path): after so many steps spikes, packed, and potential go to that .npz file.

    With `watch` among its `proc_params` the potentials of all steps go there too.
    """


class _Keeps(PyLoihiProcessModel):
    """Wraps the run phase of a stock model."""

    def run_spk(self):
        kept = []
        port, send = self.s_out, self.s_out.send
        self.s_out.send = lambda spikes: (kept.append(np.array(spikes, dtype=bool)), send(spikes))
        super().run_spk()
        port.send = send
        keep(self, kept[0])


def keep(model, spikes):
    """Note a step's spikes and, where it is watched, potentials of a model; write everything after the last step."""
    if model.time_step == 1:
        model._rows, model._read = [], []
    model._rows.append(np.packbits(spikes))
    if model.proc_params.get("watch"):
        model._read.append(np.array(model.v))
    steps, path = model.proc_params["keep"]
    if model.time_step == steps:
        np.savez(path, spikes=np.array(model._rows), potential=np.array(model.v), read=np.array(model._read))


class RecordedFixed(_Keeps, PyLifResetModelBitAcc):
    """Integers: the stock model's arithmetic, tags and resources."""

    implements_process = RecordedLIF  # Lava's decorator refuses a model whose parent plays another process


class RecordedFloat(_Keeps, PyLifResetModelFloat):
    """Floating point: the same."""

    implements_process = RecordedLIF
