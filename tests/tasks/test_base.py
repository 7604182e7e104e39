"""Episodes: labels, classes, drawings, and what cannot be filled."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurometa.errors import UserError
from neurometa.tasks.augment import Augment
from neurometa.tasks.base import ImageClasses, rotated
from neurometa.types import Data
from tests.tasks.drawn import one_line

CLASSES, DRAWINGS = 30, 20


def numbered(ways: int = 5, shots: int = 1, queries: int = 5) -> ImageClasses:
    """Images whose first pixel is their class and whose second is their drawing."""
    images = torch.zeros(CLASSES, DRAWINGS, 2, 2, dtype=torch.uint8)
    images[:, :, 0, 0] = torch.arange(CLASSES, dtype=torch.uint8).unsqueeze(1)
    images[:, :, 0, 1] = torch.arange(DRAWINGS, dtype=torch.uint8)
    return ImageClasses(images, ways, shots, queries)


def shown(data: Data) -> tuple[torch.Tensor, torch.Tensor]:
    """Class and drawing that each image of `numbered` shows: (count, n) each."""
    pixels = (data.x * 255).round().long()
    return pixels[:, :, 0, 0, 0], pixels[:, :, 0, 0, 1]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


sizes = st.tuples(st.integers(1, CLASSES), st.integers(1, 10), st.integers(1, 10), st.integers(1, 4), st.integers(0, 2**31))


@given(sizes)
def test_every_label_has_exactly_its_shots_and_one_class(size: tuple[int, int, int, int, int]) -> None:
    ways, shots, queries, count, seed = size
    episode = numbered(ways, shots, queries).sample(seeded(seed), count)
    support, query = shown(episode.support)[0], shown(episode.query)[0]
    for data, each in ((episode.support, shots), (episode.query, queries)):
        assert data.x.shape == (count, ways * each, 1, 2, 2)
        assert data.y.shape == (count, ways * each)
        for labels in data.y:
            assert labels.bincount(minlength=ways).tolist() == [each] * ways
    for task in range(count):
        classes = [set(support[task][episode.support.y[task] == label].tolist()) for label in range(ways)]
        assert all(len(found) == 1 for found in classes)
        assert len(set.union(*classes)) == ways, "classes of an episode are different"
        for label in range(ways):
            assert set(query[task][episode.query.y[task] == label].tolist()) == classes[label]


@given(sizes)
def test_no_drawing_is_shown_twice_in_an_episode(size: tuple[int, int, int, int, int]) -> None:
    ways, shots, queries, count, seed = size
    episode = numbered(ways, shots, queries).sample(seeded(seed), count)
    classes, drawings = (torch.cat(pair, 1) for pair in zip(shown(episode.support), shown(episode.query), strict=True))
    for identity in classes * DRAWINGS + drawings:
        assert len(identity.unique()) == ways * (shots + queries)


@given(st.integers(0, 2**31))
def test_the_same_seed_gives_the_same_episode_and_another_seed_another(seed: int) -> None:
    family = dataclasses.replace(numbered(), augment=Augment())
    first, again, other = (family.sample(seeded(s), 3) for s in (seed, seed, seed + 1))
    assert torch.equal(first.support.x, again.support.x)
    assert torch.equal(first.query.x, again.query.x)
    assert not torch.equal(first.query.x, other.query.x)


def test_every_class_and_every_drawing_is_equally_likely() -> None:
    episode = numbered(ways=5, shots=1, queries=1).sample(seeded(), 6000)
    classes, drawings = shown(episode.support)
    for found, kinds in ((classes, CLASSES), (drawings, DRAWINGS)):
        share = found.flatten().bincount(minlength=kinds) / found.numel() * kinds
        assert share.min() > 0.85  # 30,000 draws: a standard deviation is 3 %
        assert share.max() < 1.15


def test_a_class_with_fewer_drawings_shows_only_those() -> None:
    counts = torch.full((CLASSES,), 12)
    counts[::2] = 7
    family = dataclasses.replace(numbered(CLASSES, 2, 5), counts=counts)
    classes, drawings = shown(family.sample(seeded(), 50).query)
    assert (drawings < counts[classes]).all()
    assert drawings.max() == 11


def test_grouped_episodes_stay_in_one_group_and_keep_people_apart() -> None:
    groups = torch.tensor([0] * 4 + [1] * 12 + [2] * 14)
    family = dataclasses.replace(numbered(ways=10, shots=2, queries=3), groups=groups)
    episode = family.sample(seeded(), 60)
    (classes, support), (_, query) = shown(episode.support), shown(episode.query)
    support, query = support.view(60, 10, 2), query.view(60, 10, 3)
    assert (support == support[:, :1]).all(), "the n-th support drawing of every class is by one person"
    assert (query == query[:, :1]).all()
    found = set()
    for task in range(60):
        assert not set(support[task].flatten().tolist()) & set(query[task].flatten().tolist())
        (group,) = groups[classes[task]].unique().tolist()
        found.add(group)
    assert found == {1, 2}, "group 0 has too few classes, the others both occur"


@pytest.mark.parametrize("augment", [None, Augment()])
def test_a_threshold_leaves_exactly_zero_and_one(augment: Augment | None) -> None:
    images = torch.randint(0, 256, (6, 8, 28, 28), generator=seeded(), dtype=torch.uint8)
    family = ImageClasses(images, 5, 1, 3, threshold=0.3, augment=augment)
    binary = family.sample(seeded(), 2).query.x
    grey = dataclasses.replace(family, threshold=None).sample(seeded(), 2).query.x
    assert binary.unique().tolist() == [0.0, 1.0]
    assert len(grey.unique()) > 100
    assert torch.equal(binary == 1, grey > 0.3), "the same episode, pixel by pixel"


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((31, 1, 1), "31 ways given, expected at most 30"),
        ((5, 10, 11), "10 shots + 11 queries given, expected at most 20"),
        ((5, 0, 1), "0 shots"),
    ],
)
def test_an_episode_that_cannot_be_filled_is_refused(size: tuple[int, int, int], said: str) -> None:
    with pytest.raises(UserError) as raised:
        numbered(*size)
    assert said in one_line(raised)


def test_a_class_with_too_few_drawings_is_refused() -> None:
    with pytest.raises(UserError) as raised:
        dataclasses.replace(numbered(5, 1, 6), counts=torch.tensor([6] + [20] * (CLASSES - 1)))
    assert "expected at most 6" in one_line(raised)


def test_more_ways_than_the_largest_group_are_refused() -> None:
    with pytest.raises(UserError) as raised:
        dataclasses.replace(numbered(ways=16), groups=torch.arange(CLASSES) // 15)
    assert "16 ways given, expected at most 15" in one_line(raised)


def test_rotated_classes_follow_the_upright_ones_turn_by_turn() -> None:
    images = torch.arange(2 * 3 * 9, dtype=torch.uint8).view(2, 3, 3, 3)
    turned = rotated(images)
    assert turned.shape == (8, 3, 3, 3)
    assert torch.equal(turned[:2], images)
    for turns in range(1, 4):
        assert torch.equal(turned[2 * turns : 2 * turns + 2], images.rot90(turns, (2, 3)))
        assert not torch.equal(turned[2 * turns], images[0])
