"""A cue, a long silence, a question: what to answer to which cue is redrawn in every episode, so that only plasticity can know."""

from typing import NamedTuple

import torch
from torch import Tensor

from neurometa.errors import UserError
from neurometa.types import Data, Episode


class DelayedCue(NamedTuple):
    """Store and recall. A trial shows one of `ways` cues, waits, and asks by a signal that is the same in every trial.

    Each cue has `channels` inputs of its own, which spike during the cue; as many spike during the question. All inputs fire now and then
    by themselves. In an episode cue k means class map(k), a permutation drawn anew; support and query trials are independent draws.
    No input tells the class, and a trial begins at rest, so that a network that does not learn answers right once in `ways`.

    Attributes:
        ways: number of cues, and of classes.
        shots, queries: trials of each cue in the support and in the query set.
        cue, delay, recall: steps of the cue, of the silence and of the question.
        channels: inputs of each cue, and of the question.
        rate: chance that such an input spikes in a step while it is on.
        noise: chance that any input spikes in any step besides.
    Source:
        Store-recall and cue accumulation of Bellec et al. 2018, arXiv:1803.09574, and 2020, doi:10.1038/s41467-020-17236-y, with a map of
        each episode's own instead of a fixed one.
    """

    ways: int = 2
    shots: int = 3
    queries: int = 5
    cue: int = 20
    delay: int = 200
    recall: int = 20
    channels: int = 5
    rate: float = 0.3
    noise: float = 0.01

    @property
    def steps(self) -> int:
        """Time steps of a trial."""
        return self.cue + self.delay + self.recall

    @property
    def inputs(self) -> int:
        """Number of input channels: the cues', then the question's."""
        return (self.ways + 1) * self.channels

    @property
    def shape(self) -> tuple[int, ...]:
        """One trial: (time, inputs)."""
        return (self.steps, self.inputs)

    def sample(self, generator: torch.Generator, count: int) -> Episode:
        """Draw `count` episodes.

        Args:
            generator: source of randomness; the same state gives the same episodes.
            count: number of episodes.
        Returns:
            `x` (count, ways * trials, time, inputs), 0 or 1, and `y` (count, ways * trials), ordered by class.
        Raises:
            UserError: fewer than two ways.
        """
        if self.ways < 2:
            raise UserError(f"{self.ways} ways given, at least 2 expected: one cue asks nothing")
        cues = torch.rand(count, self.ways, generator=generator).argsort(-1)  # the cue of each class
        return Episode(*(self._trials(cues, trials, generator) for trials in (self.shots, self.queries)))

    def _trials(self, cues: Tensor, trials: int, generator: torch.Generator) -> Data:
        shown = cues.repeat_interleave(trials, 1)
        on = torch.full((*shown.shape, self.steps, self.inputs), self.noise)
        group = torch.arange(self.inputs) // self.channels
        own = (group == shown.unsqueeze(-1)).unsqueeze(-2)
        time = torch.arange(self.steps).unsqueeze(-1)
        asked = (group == self.ways) & (time >= self.steps - self.recall)
        on = torch.where((own & (time < self.cue)) | asked, self.rate + (1 - self.rate) * self.noise, on)
        x = torch.rand(on.shape, generator=generator) < on
        return Data(x.to(torch.get_default_dtype()), torch.arange(self.ways).repeat_interleave(trials).expand(shown.shape).clone())
