"""The stock LearningDense that writes weights and tags to a file when a run ends, instead of a message for every number."""

import numpy as np
from lava.proc.dense.models import PyLearningDenseModelBitApproximate
from lava.proc.dense.process import LearningDense


class RecordedLearning(LearningDense):
    """LearningDense whose `keep` is (steps, path): after so many steps weights and tags go to that .npz file."""


class RecordedLearningFixed(PyLearningDenseModelBitApproximate):
    """Integers: the stock model's arithmetic, tags and resources."""

    implements_process = RecordedLearning  # Lava's decorator refuses a model whose parent plays another process

    def run_lrn(self):
        """One step of learning."""
        super().run_lrn()
        steps, path = self.proc_params["keep"]
        if self.time_step == steps:
            np.savez(path, weights=np.array(self.weights), tags=np.array(self.tag_1))
