"""A LIF neuron that sends y1, y2 and y3 to synapses that learn: the stock LearningLIF of lava-nc 0.10 never sends anything."""

import numpy as np
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.variable import Var
from lava.proc.lif.models import PyLifResetModelBitAcc
from lava.proc.lif.process import LIFReset

from neurometa_lava.processes.recorded import keep


class ModulatedLIF(LIFReset):
    """LIFReset with third factors; integers only.

    `proc_params` has `modulation` (as in bundle.json), `signal`, third factors int (steps, n) from outside or None, and `keep` (steps, path):
    after so many steps spikes and potential go to that .npz file. What reaches the port `a_signal` is added to the third factors.
    """

    def __init__(self, *, shape, **words):
        super().__init__(shape=shape, **words)
        self.a_signal = InPort(shape=shape)
        self.s_out_bap, self.s_out_y1, self.s_out_y2, self.s_out_y3 = (OutPort(shape=shape) for _ in range(4))
        self.y1 = Var(shape=shape, init=0)


class ModulatedFixed(PyLifResetModelBitAcc):
    """Integers: the stock neuron's arithmetic, and what it sends to its synapses."""

    implements_process = ModulatedLIF

    a_signal: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=16)
    s_out_bap: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, bool, precision=1)
    s_out_y1: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=7)
    s_out_y2: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=7)
    s_out_y3: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=7)
    y1: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=7)

    def limit(self):
        """What the potential must exceed for a spike."""
        return self.effective_vth

    def run_spk(self):
        """One step: stock dynamics, then y1 from the potential before its reset or from own spikes, y2 and y3 from the signal."""
        arriving = self.a_in.recv()
        if (self.time_step % self.reset_interval) == self.reset_offset:
            self.u *= 0
            self.v *= 0
        self.scale_bias()
        if not self.isthrscaled:
            self.scale_threshold()
        self.subthr_dynamics(activation_in=arriving)
        spikes = self.spiking_activation()
        before, limit = np.array(self.v, dtype=np.int64), self.limit()
        self.reset_voltage(spike_vector=spikes)
        rule, outside, signal = self.proc_params["modulation"], self.proc_params["signal"], self.a_signal.recv()
        signal = np.clip(signal if outside is None else signal + outside[self.time_step - 1], -127, 127)
        if rule["y1"] == "surrogate":
            near = np.abs(before - limit) < rule.get("width", 0) << 6
            self.y1 = (rule.get("height", 1) * near).astype(np.int32)
        else:
            kept = (self.y1.astype(np.int64) * (4096 - rule.get("decay", 0))) >> 12
            self.y1 = np.minimum(kept + rule.get("height", 1) * spikes, 127).astype(np.int32)
        signal = third(rule, np.array(self.u, dtype=np.int64), signal)
        self.s_out_bap.send(spikes)
        self.s_out_y1.send(self.y1)
        self.s_out_y2.send(np.maximum(-signal, 0).astype(np.int32))
        self.s_out_y3.send(np.maximum(signal, 0).astype(np.int32))
        self.s_out.send(spikes)
        keep(self, spikes)


def third(rule, u, signal):
    """The third factor: what arrived, or the error of what a neuron says by its current u, see `modulation` in neurometa's docs/loihi.md."""
    kind = rule.get("third", "arriving")
    if kind == "arriving":
        return signal
    says = sigmoid(rule.get("offset", 0) + ((u >> 6) * rule.get("slope", 0) >> rule.get("shift", 0)))
    error = (np.where(signal > 0, 1024, 0) - says) // 16
    if kind == "trigger":
        error = np.sign(error) * (says * (1024 - says) >> 12) * (np.abs(error) > rule.get("least", 0))
    return error * (signal != 0)


def sigmoid(x):
    """1024 times the sigmoid of x / 1024, by the straight lines of Amin, Curtis & Hayes-Gill 1997."""
    far = np.abs(x)
    high = np.where(far < 1024, 512 + (far >> 2), np.where(far < 2432, 640 + (far >> 3), np.where(far < 5120, 864 + (far >> 5), 1024)))
    return np.where(x < 0, 1024 - high, high)
