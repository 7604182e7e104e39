"""Figures: they hold the data they were given, and are not blank."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from neurometa.report import activity, episode, plots, style
from neurometa.report.plots import Bar, Curve, Panel, Score
from neurometa.report.style import NARROW, WIDE

SCORES = [
    Score("5-way 1-shot", "spiking", 0, 20.0, 93.0, 0.3, 20.1, 0.2, 71.0),
    Score("5-way 1-shot", "relu", 1, 20.0, 95.0, 0.3),
    Score("20-way 1-shot", "spiking", 0, 5.0, 84.0, 0.4, 5.0, 0.1),
]


def pixels(figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_accuracy_marks_stand_at_before_and_after(width):
    figure = plots.accuracy(SCORES, width)
    xs = [float(line.get_xdata()[0]) for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert {93.0, 95.0, 84.0, 20.1, 5.0, 71.0} <= set(xs)
    heights = [float(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_marker() in ("o", "s")]
    low, high = figure.axes[0].get_ylim()
    assert all(low < y < high for y in heights)
    assert (pixels(figure) < 128).any()


def test_a_guess_has_no_open_mark():
    guess = Score("5-way 1-shot", "", 0, 20.0, 93.0, 0.3, 20.0, 0.0, guess=True)
    marks = [line for line in plots.accuracy([guess], WIDE).axes[0].lines if line.get_marker() == "o"]
    assert [float(line.get_xdata()[0]) for line in marks] == [93.0]


def test_smoothing_keeps_a_constant_and_the_length():
    values = np.full(200, 40.0)
    mean, window = plots.smooth(values)
    np.testing.assert_allclose(mean, values, rtol=1e-12)  # a weighted mean of equal numbers, to rounding
    assert window == 10
    assert plots.smooth(np.array([3.0]))[0].tolist() == [3.0]


@pytest.mark.parametrize("length", [1, 2, 5000])
def test_learning_curve_ends_where_training_ends(length):
    steps = np.arange(1, length + 1)
    figure = plots.learning([Curve("a", steps, np.linspace(20, 90, length), 20.0), Curve("b", steps, np.full(length, 30.0), 20.0)], WIDE)
    curves = [line for line in figure.axes[0].lines if line.get_label() in "ab"]
    assert len(curves) == 2
    assert all(line.get_xdata()[-1] == length and len(line.get_xdata()) <= 400 for line in curves)
    assert (pixels(figure) < 128).any()


def test_comparison_has_a_bar_a_run_in_every_panel():
    bars = [Bar("spiking", 93.0, "93.0 %"), Bar("relu", None, "not measured")]
    figure = plots.comparison([Panel("Accuracy", 100.0, bars), Panel("Parameters", None, bars)], NARROW)
    assert [len(ax.patches) for ax in figure.axes] == [2, 2]
    assert figure.axes[0].get_xlim() == (0, 100)
    assert figure.axes[1].get_xlim() == (0, 93)
    assert "not measured" in {text.get_text() for text in figure.axes[0].texts}


def test_raster_draws_one_mark_a_spike_and_counts_every_neuron():
    generator = np.random.default_rng(0)
    spikes = (generator.random((8, 100)) < 0.1).astype(np.uint8)
    figure = activity.raster({"one": spikes, "two": np.zeros((8, 3000), np.uint8)}, WIDE)
    marks = figure.axes[0].patches[0].get_path()
    assert spikes.sum() > 20, "a silent network proves nothing"
    assert len(marks.vertices) == 5 * spikes.sum()
    np.testing.assert_allclose([bar.get_height() for bar in figure.axes[1].patches], 100 * spikes.mean(axis=1))
    words = {text.get_text() for ax in figure.axes for text in ax.texts}
    assert {"silent", "100 neurons", "160 of 3,000 neurons"} <= words


@pytest.mark.parametrize(("rate", "words"), [(0.0, "silent"), (0.4, "below the band"), (1.0, ""), (30.0, ""), (31.0, "above the band")])
def test_rate_outside_the_band_is_said_in_words(rate, words):
    assert activity.outside(rate) == words
    figure = activity.rates({"layer": rate}, NARROW)
    written = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert f"{rate:.1f} %" in written
    assert words in written


@pytest.mark.parametrize(("ways", "shots", "width"), [(5, 1, WIDE), (5, 5, NARROW), (20, 1, WIDE), (30, 1, NARROW)])
def test_episode_shows_every_image_and_marks_wrong_answers_without_colour(ways, shots, width):
    truth = np.repeat(np.arange(ways), 3)
    called = truth.copy()
    called[0] = 1
    arrays = {
        "support_x": np.ones((ways * shots, 1, 28, 28), np.float32),
        "support_y": np.repeat(np.arange(ways), shots),
        "query_x": np.zeros((truth.size, 1, 28, 28), np.float32),
        "query_y": truth,
        "predicted": called,
    }
    ax = episode.episode(arrays, width).axes[0]
    assert len(ax.images) == ways * shots + truth.size
    words = [text.get_text() for text in ax.texts]
    assert [word for word in words if "✗" in word] == ["B ✗"]
    assert sum("✓" in word for word in words) == truth.size - 1
    frames = [patch.get_linewidth() for patch in ax.patches]
    assert frames.count(2.4) == 1


def test_classes_beyond_z_have_names_of_their_own():
    assert [episode.letter(i) for i in (0, 25, 26, 53)] == ["A", "Z", "A1", "B2"]


def test_svg_follows_the_page_and_its_file_stands_alone():
    figure = plots.accuracy(SCORES, NARROW)
    inside, alone = style.svg(figure, "f1w", 'says "it" & more'), style.file_text(figure)
    assert inside.startswith('<svg role="img" aria-label="says &quot;it&quot; &amp; more"')
    assert "var(--s0)" in inside
    assert not any(colour in inside for colour in style.SERIES)
    assert "93.0 ± 0.3 %" in inside
    assert alone.startswith("<?xml")
    assert style.SERIES[0] in alone
    assert "var(" not in alone
    assert alone == style.file_text(plots.accuracy(SCORES, NARROW)), "the same data give the same file"


def test_long_name_loses_its_middle_and_keeps_both_ends():
    assert style.shorten("short", 10) == "short"
    cut = style.shorten("omniglot-prototype-quarter-budget-seed-2", 20)
    assert len(cut) == 20
    assert cut.startswith("omniglot")
    assert cut.endswith("seed-2")
