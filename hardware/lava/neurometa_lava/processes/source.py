"""Sends given spikes step by step, kept as bytes; Lava's own RingBuffer keeps them as numbers eight times as long."""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Source(AbstractProcess):
    """Spikes uint8 (steps, n, batch), or (n, batch) held over the window."""

    def __init__(self, *, spikes):
        super().__init__(spikes=spikes)
        self.s_out = OutPort(shape=spikes.shape[-2:])


class _Sends(PyLoihiProcessModel):
    def run_spk(self):
        spikes = self.proc_params["spikes"]
        self.s_out.send(spikes if spikes.ndim == 2 else spikes[self.time_step - 1])


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class SourceFixed(_Sends):
    """For integers."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class SourceFloat(_Sends):
    """For floating point."""

    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
