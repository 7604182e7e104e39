"""The stock LIFReset that keeps its spikes and writes them to a file when the window ends, instead of a message for every number."""

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.proc.lif.models import PyLifResetModelBitAcc, PyLifResetModelFloat
from lava.proc.lif.process import LIFReset


class RecordedLIF(LIFReset):
    """LIFReset whose `keep` is (steps, path): after so many steps spikes, packed, and potential go to that .npz file."""


class _Keeps(PyLoihiProcessModel):
    """Wraps the run phase of a stock model."""

    def run_spk(self):
        kept = []
        port, send = self.s_out, self.s_out.send
        self.s_out.send = lambda spikes: (kept.append(np.array(spikes, dtype=bool)), send(spikes))
        super().run_spk()
        port.send = send
        if self.time_step == 1:
            self._rows = []
        self._rows.append(np.packbits(kept[0]))
        steps, path = self.proc_params["keep"]
        if self.time_step == steps:
            np.savez(path, spikes=np.array(self._rows), potential=np.array(self.v))


class RecordedFixed(_Keeps, PyLifResetModelBitAcc):
    """Integers: the stock model's arithmetic, tags and resources."""

    implements_process = RecordedLIF  # Lava's decorator refuses a model whose parent plays another process


class RecordedFloat(_Keeps, PyLifResetModelFloat):
    """Floating point: the same."""

    implements_process = RecordedLIF
