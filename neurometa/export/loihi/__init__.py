"""A trained network as Loihi's integers."""

from neurometa.export.loihi.calibrate import calibrate
from neurometa.export.loihi.chip import Chip, chip_input, emulated
from neurometa.export.loihi.fold import fold
from neurometa.export.loihi.resources import resources
from neurometa.export.loihi.round import Peaks, Rounded, rounded
from neurometa.export.loihi.stage import Folded, Stage, Synapse

__all__ = ["Chip", "Folded", "Peaks", "Rounded", "Stage", "Synapse", "calibrate", "chip_input", "emulated", "fold", "resources", "rounded"]
