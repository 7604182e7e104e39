"""Dense and convolutional connections for many samples at once: spikes and activations have a trailing batch axis.

Lava's own Dense knows one sample. Weights are prepared by Lava's own functions; products are done by BLAS, exact because every sum is a
whole number that the floating-point type holds exactly.
"""

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.utils.weightutils import SignMode, clip_weights, truncate_weights

SIGNS = {"mixed": SignMode.MIXED, "excitatory": SignMode.EXCITATORY, "inhibitory": SignMode.INHIBITORY}


class BatchSynapses(AbstractProcess):
    """Connections from (pre, batch) spikes to (post, batch) activations, one step later.

    Args:
        weights: (post, pre), or (post, pre, kernel, kernel) for a convolution.
        shapes: of source and target.
        batch: number of samples.
        about: the synapses' entry in bundle.json.
    """

    def __init__(self, *, weights, shapes, batch, about):
        super().__init__(weights=weights, shapes=shapes, batch=batch, about=about)
        pre, post = (int(np.prod(shape)) for shape in shapes)
        self.s_in = InPort(shape=(pre, batch))
        self.a_out = OutPort(shape=(post, batch))
        self.weights = Var(shape=weights.shape, init=weights)
        self.a_buff = Var(shape=(post, batch), init=np.zeros((post, batch)))


class _Model(PyLoihiProcessModel):
    """What both arithmetics share."""

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.matrix = None

    def run_spk(self):
        self.a_out.send(self.a_buff)
        spikes = self.s_in.recv()
        if self.matrix is None:
            self.matrix = self.prepared()
        about = self.proc_params["about"]
        if about.get("kind", "dense") == "conv":
            source = self.proc_params["shapes"][0]
            kernel = self.weights.shape[-1]
            spikes = patches(spikes.reshape(*source, -1), kernel, about.get("stride", 1), about.get("padding", 0), about.get("pool", 1))
        summed = self.matrix @ spikes.astype(self.matrix.dtype)
        self.a_buff = self.shifted(summed.reshape(self.a_buff.shape))


@implements(proc=BatchSynapses, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class BatchFixed(_Model):
    """Integers."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    a_buff: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)
    weights: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=9)

    def prepared(self):
        about = self.proc_params["about"]
        sign = SIGNS[about.get("sign", "mixed")]
        stored = truncate_weights(clip_weights(self.weights, sign, num_bits=8), sign, about.get("bits", 8))
        rows = stored.reshape(len(stored), -1)
        bound = np.abs(rows.astype(np.int64)).sum(1).max() * about.get("pool", 1) ** 2
        return rows.astype(np.float32 if bound <= 1 << 24 else np.float64)

    def shifted(self, summed):
        exponent = self.proc_params["about"].get("exponent", 0)
        whole = summed.astype(np.int32)
        return np.left_shift(whole, exponent) if exponent > 0 else np.right_shift(whole, -exponent)


@implements(proc=BatchSynapses, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class BatchFloat(_Model):
    """Floating point."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, float)
    a_buff: np.ndarray = LavaPyType(np.ndarray, float)
    weights: np.ndarray = LavaPyType(np.ndarray, float)

    def prepared(self):
        return self.weights.reshape(len(self.weights), -1)

    def shifted(self, summed):
        return summed


def patches(x, kernel, stride, padding, pool):
    """What each output position of a convolution sees, (channels kernel kernel, positions batch), of spikes (channels, h, w, batch)."""
    channels, height, width, batch = x.shape
    rows, columns = height // pool, width // pool
    x = x[:, : rows * pool, : columns * pool].reshape(channels, rows, pool, columns, pool, batch).sum((2, 4))
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride]
    return np.ascontiguousarray(windows.transpose(0, 4, 5, 1, 2, 3)).reshape(channels * kernel * kernel, -1)
