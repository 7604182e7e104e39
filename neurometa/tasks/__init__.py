"""Where episodes come from: one family a file."""

from neurometa.tasks.augment import Augment
from neurometa.tasks.base import ImageClasses
from neurometa.tasks.delayed_cue import DelayedCue
from neurometa.tasks.glyphs import glyphs
from neurometa.tasks.omniglot import omniglot
from neurometa.tasks.sinusoid import Sinusoid
from neurometa.tasks.strokes import Scanned

__all__ = ["Augment", "DelayedCue", "ImageClasses", "Scanned", "Sinusoid", "glyphs", "omniglot"]
