"""Few-shot episodes from a bag of images: classes, drawings of each, and how many of them an episode shows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from neurometa.errors import UserError
from neurometa.tasks.augment import Augment, augmented
from neurometa.types import Data, Episode

INK = 0.3
"""Share of a pixel's area above which it counts as ink in a binary picture. Of 585 Omniglot drawings brought from 105 to 28 pixels
none breaks into more pieces at this threshold, not even when turned and scaled, and 3 % have pieces that run together; at 0.5, 0.5 % break
(0.9 % turned)."""


@dataclass(frozen=True, eq=False)
class ImageClasses:
    """A task family over images that lie in memory; each episode draws classes, then different drawings of each.

    Attributes:
        images: uint8, shape (classes, drawings, height, width); 255 is ink, 0 is background. Or float32 features, (classes, drawings, n).
        ways, shots, queries: classes an episode has, support drawings and query drawings of each.
        counts: drawings that each class really has (the first ones), shape (classes,); None where all of them.
        threshold: ink above it becomes exactly 1, all else 0; None keeps the grey values in 0..1.
        augment: affine change drawn anew for every image shown; None for none.
        groups: group of each class, shape (classes,). Where given, an episode draws its classes from one group (all groups that have
            enough classes are equally likely) and its drawings by number: the n-th support drawing of every class has the same
            number, and no query drawing has the number of a support drawing.
    """

    images: UInt8[Tensor, "classes drawings height width"] | Float[Tensor, "classes drawings n"]
    ways: int
    shots: int
    queries: int
    counts: Int64[Tensor, " classes"] | None = None
    threshold: float | None = None
    augment: Augment | None = None
    groups: Int64[Tensor, " classes"] | None = None

    def __post_init__(self) -> None:
        """Refuse an episode that the images cannot fill."""
        classes, drawings = self.images.shape[:2]
        if min(self.ways, self.shots, self.queries) < 1:
            raise UserError(
                f"{self.ways} ways, {self.shots} shots, {self.queries} queries given, expected at least 1 of each: raise the one that is 0"
            )
        if self.ways > classes:
            raise UserError(f"{self.ways} ways given, expected at most {classes}, the number of classes: lower ways")
        fewest = drawings if self.counts is None else int(self.counts.min())
        if self.shots + self.queries > fewest:
            raise UserError(
                f"{self.shots} shots + {self.queries} queries given, expected at most {fewest} together, "
                "the drawings that a class has: lower shots or queries"
            )
        if self.groups is not None and not len(self._large_groups()):
            largest = int(self.groups.bincount().max())
            raise UserError(f"{self.ways} ways given, expected at most {largest}, the classes of the largest alphabet: lower ways")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: (1, height, width), or of one image's features: (n,)."""
        size = tuple(self.images.shape[2:])
        return size if len(size) == 1 else (1, *size)

    @property
    def count(self) -> int:
        """Number of drawings of all classes together."""
        return self.images.shape[0] * self.images.shape[1]

    def embedded(self, function: Callable[[Tensor], Tensor]) -> "ImageClasses":
        """The same family with each image replaced by its features, computed once.

        Args:
            function: (batch, 1, height, width) float32 in 0..1 -> (batch, n).
        Raises:
            UserError: if images are augmented: each showing is then a different image.
        """
        if self.augment is not None:
            raise UserError("augmented images given, fixed ones expected: embed a task without augment")
        parts = [function(self._values(part)) for part in self.images.flatten(0, 1).split(200)]
        return replace(self, images=torch.cat(parts).unflatten(0, self.images.shape[:2]), threshold=None)

    def _values(self, picked: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images as float32 in 0..1, augmented and thresholded; features as they are."""
        if picked.dtype != torch.uint8:
            return picked
        x = picked.reshape(-1, *self.shape).to(torch.float32).div_(255.0)
        if self.augment is not None and generator is not None:
            x = augmented(x, self.augment, generator)
        return x if self.threshold is None else (x > self.threshold).to(torch.float32)

    def sample(self, generator: torch.Generator, count: int) -> Episode:
        """Draw `count` episodes.

        Args:
            generator: source of randomness, on the CPU; the same state gives the same episodes.
            count: number of episodes.
        Returns:
            `support.x` (count, ways * shots, 1, height, width) float32 and `support.y` (count, ways * shots) int64, class by class;
            `query` likewise with `queries` in place of `shots`.
        """
        classes = self._draw_classes(generator, count)
        drawings = self._draw_drawings(generator, classes)
        x = self._values(self.images[classes.unsqueeze(-1), drawings], generator)
        x = x.view(count, self.ways, self.shots + self.queries, *self.shape)
        return Episode(self._labelled(x[:, :, : self.shots]), self._labelled(x[:, :, self.shots :]))

    def _labelled(self, x: Float[Tensor, "count ways each *shape"]) -> Data:
        count, ways, each = x.shape[:3]
        y = torch.arange(ways).repeat_interleave(each).repeat(count, 1)
        return Data(x.reshape(count, ways * each, *self.shape), y)

    def _draw_classes(self, generator: torch.Generator, count: int) -> Int64[Tensor, "count ways"]:
        """Different classes of each episode, in random order: (count, ways)."""
        keys = torch.rand(count, len(self.images), generator=generator)
        if self.groups is not None:
            large = self._large_groups()
            group = large[torch.randint(len(large), (count, 1), generator=generator)]
            keys = keys.masked_fill(self.groups != group, -1.0)
        return keys.topk(self.ways, dim=1).indices

    def _draw_drawings(self, generator: torch.Generator, classes: Int64[Tensor, "count ways"]) -> Int64[Tensor, "count ways each"]:
        """Different drawings of each class, in random order: (count, ways, shots + queries)."""
        rows = classes.shape if self.groups is None else (len(classes), 1)
        keys = torch.rand(*rows, self.images.shape[1], generator=generator)
        if self.counts is not None:
            missing = torch.arange(self.images.shape[1]) >= self.counts[classes].unsqueeze(-1)
            keys = keys.masked_fill(missing, -1.0)
        return keys.topk(self.shots + self.queries, dim=-1).indices.expand(*classes.shape, -1)

    def _large_groups(self) -> Tensor:
        return (self.groups.bincount() >= self.ways).nonzero().squeeze(1) if self.groups is not None else torch.empty(0)


def rotated(images: UInt8[Tensor, "classes drawings side side"]) -> UInt8[Tensor, "4*classes drawings side side"]:
    """Four classes from one, by turns of 0, 90, 180 and 270 degrees: class c turned k times is class c + k * classes.

    Args:
        images: square pictures, shape (classes, drawings, side, side).
    Returns:
        Shape (4 * classes, drawings, side, side).
    """
    return torch.cat([images.rot90(turns, (2, 3)) for turns in range(4)])
