"""The learner on the chip: what is published holds together, pictures keep their places, and classes that differ are told apart."""

import numpy as np
import pytest
import torch

from experiments.onchip.features import STEPS, discriminants, pooled
from experiments.onchip.judge import FEATURES, WAYS, drawn, judged
from experiments.onchip.learner import LEARNERS, learner
from neurometa.export.bundle import check, read
from neurometa.export.emulator import play
from neurometa.export.loihi import Synapse
from neurometa.tasks.base import ImageClasses


def test_the_published_features_spike() -> None:
    bundle = read(FEATURES)
    last = bundle.network.populations[-1]
    assert (last.name, last.shape, bundle.network.steps) == ("features", (64, 1, 1), last.onset + STEPS)
    strokes = np.zeros((28, 28, 2), np.uint8)
    strokes[4:24, 13:15, 0] = strokes[13:15, 4:24, 1] = 1
    spikes = play(bundle, strokes.reshape(784, 2), timed=False).spikes["features"][last.onset :]
    assert 10 < spikes[..., 0].sum() < 300
    assert (spikes[..., 0] != spikes[..., 1]).any()


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_tells_classes_apart_that_differ(name: str) -> None:
    kind = LEARNERS[name]
    rng = np.random.default_rng(0)
    pattern = rng.random((12, 64)) < 0.2
    sent = (rng.random((12, 3, STEPS, 64)) < np.where(pattern, 0.9, 0.02)[:, None, None]).astype(np.uint8).reshape(36, STEPS, 64)
    images = torch.zeros(12, 3, 28, 28, dtype=torch.uint8)
    images.flatten(2)[:, :, :36] = 255 * torch.eye(36, dtype=torch.uint8).reshape(12, 3, 36)  # drawing k has a dot at place k
    episodes = drawn(ImageClasses(images, WAYS, 1, 1, threshold=0.5), 4, 0)
    order = episodes.pictures[:, :36].argmax(1)
    bundle = learner(kind, (kind.shown.passes + 1) * WAYS)
    check(bundle)
    rates, about = judged(kind, bundle, sent[order], episodes)
    assert about["errors_by_pass"][0] > about["errors_by_pass"][-1]
    assert rates.mean() > 0.7
    classes = order[episodes.support] // 3
    np.testing.assert_array_equal(order[episodes.query] // 3, np.take_along_axis(classes, episodes.asked, 1))


def test_discriminants_ignore_what_all_drawings_share() -> None:
    generator = np.random.default_rng(1)
    classes = generator.normal(size=(300, 1, 18))
    classes[..., 9:] = 0
    seen = (classes + 0.05 * generator.normal(size=(300, 10, 18)) + 7).reshape(3000, 18)
    weight, bias = discriminants(seen, Synapse("c", "s", np.eye(18).reshape(18, 2, 3, 3)), (2, 3, 3))
    found = (seen @ weight.T + bias).reshape(300, 10, -1)
    assert np.abs(found.mean((0, 1))).max() < 1e-6
    spread = found.mean(1).std(0) / found.std(1).mean(0)
    assert (spread[:9] > 5).all()
    assert (spread[9:] < 1).all()


def test_spikes_are_pooled_over_windows_and_time() -> None:
    sent = np.zeros((1, 2, 1, 5, 5), np.uint8)
    sent[0, 0, 0, :2, :2] = 1
    np.testing.assert_array_equal(pooled(sent.reshape(1, 2, 25), (1, 5, 5), 2), [[2, 0, 0, 0]])
