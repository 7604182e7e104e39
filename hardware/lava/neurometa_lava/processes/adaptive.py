"""Neurons whose threshold rises with every spike; none of Lava's own is like them (its ATRLIF has another equation).

    s = v > vth + b;   v = 0 where s;   then b = b (1 - da) + beta s

In integers vth, beta are shifted by 6 bits as ever, da is over 4096, the decay rounds towards zero and b stays below 2**23.
"""

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.variable import Var
from neurometa_lava.processes.modulated import ModulatedFixed, ModulatedLIF
from neurometa_lava.processes.recorded import RecordedFixed, RecordedFloat, RecordedLIF


class AdaptiveLIF(RecordedLIF):
    """RecordedLIF that adapts: `proc_params` has `adaptation` (da, beta) too."""

    def __init__(self, *, shape, **words):
        super().__init__(shape=shape, **words)
        self.b = Var(shape=shape, init=0)


class AdaptiveModulatedLIF(ModulatedLIF):
    """ModulatedLIF that adapts, likewise; its surrogate is of the threshold as it stands."""

    def __init__(self, *, shape, **words):
        super().__init__(shape=shape, **words)
        self.b = Var(shape=shape, init=0)


class _Adapts(PyLoihiProcessModel):
    """What the stock models call, in the order of a step: zeroed with u and v, compared, raised."""

    def subthr_dynamics(self, activation_in):
        if (self.time_step % self.reset_interval) == self.reset_offset:
            self.b = self.b * 0
        super().subthr_dynamics(activation_in=activation_in)

    def spiking_activation(self):
        return self.v > self.limit()

    def reset_voltage(self, spike_vector):
        super().reset_voltage(spike_vector=spike_vector)
        self.b = self.raised(spike_vector, *self.proc_params["adaptation"])


class _Fixed(_Adapts):
    def limit(self):
        return self.effective_vth + self.b

    def raised(self, spikes, da, beta):
        kept = (self.b.astype(np.int64) * (4096 - da)) >> 12  # b is never negative
        return np.minimum(kept + spikes * (np.asarray(beta, np.int64) << 6), (1 << 23) - 1).astype(np.int32)


class AdaptiveFixed(_Fixed, RecordedFixed):
    """Integers."""

    implements_process = AdaptiveLIF
    b: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)


class AdaptiveModulatedFixed(_Fixed, ModulatedFixed):
    """Integers."""

    implements_process = AdaptiveModulatedLIF
    b: np.ndarray = LavaPyType(np.ndarray, np.int32, precision=24)


class AdaptiveFloat(_Adapts, RecordedFloat):
    """Floating point."""

    implements_process = AdaptiveLIF
    b: np.ndarray = LavaPyType(np.ndarray, float)

    def limit(self):
        return self.vth + self.b

    def raised(self, spikes, da, beta):
        return self.b * (1 - da) + beta * spikes
