"""A network as Loihi's integers, in memory and as a folder that anything can play: no pickle, no code."""

from neurometa.export.bundle.check import check
from neurometa.export.bundle.files import read, write
from neurometa.export.bundle.schema import Bundle, Input, Learning, Modulation, Network, Population, Readout, Synapses

__all__ = ["Bundle", "Input", "Learning", "Modulation", "Network", "Population", "Readout", "Synapses", "check", "read", "write"]
