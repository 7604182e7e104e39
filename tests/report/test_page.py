"""The report page: self-contained, says the numbers, survives missing pieces."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from neurometa.errors import UserError
from neurometa.report import breakdown, figures, opening, page, read, words


class Reader(HTMLParser):
    """Collects what the tests ask about: tags, references, ids, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href", "srcset", "action")]
        self.ids += [value or "" for key, value in attrs if key == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def single(make_run) -> tuple[Path, str]:
    folder = make_run(zeroed=True)
    return folder, page.write([folder]).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pair(make_run, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], str]:
    folders = [make_run(), make_run("glyphs-prototype-relu", spiking=False)]
    return folders, page.write(folders, tmp_path_factory.mktemp("out") / "deep" / "both.html").read_text(encoding="utf-8")


@pytest.fixture
def copy(single: tuple[Path, str], tmp_path: Path) -> Path:
    """A run folder that a test may damage."""
    return shutil.copytree(single[0], tmp_path / "run")


def test_page_lies_in_the_run_folder_with_its_figures_beside_it(single):
    folder, _ = single
    assert (folder / "report.html").is_file()
    for name in ("accuracy", "learning", "episode", "raster", "rates"):
        assert (folder / "figures" / f"{name}.svg").stat().st_size > 2000
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_page_refers_to_nothing_outside_itself(single, pair):
    for html in (single[1], pair[1]):
        reader = Reader(html)
        assert reader.references, "a page without pictures proves nothing"
        assert all(reference.startswith(("#", "data:image/png;base64,")) for reference in reader.references)
        assert not {"script", "link", "iframe", "object", "embed"} & set(reader.tags)
        assert "@import" not in html
        assert not re.search(r"url\((?!#)", html)
        assert "http://" not in html
        assert "https://" not in html


def test_ids_are_unique_and_every_inner_reference_has_its_target(pair):
    reader = Reader(pair[1])
    assert len(reader.ids) == len(set(reader.ids))
    wanted = {found[1:] for found in reader.references if found.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", pair[1]))
    assert wanted
    assert wanted <= set(reader.ids)


def test_page_says_the_numbers_of_the_summary(single):
    folder, html = single
    text = Reader(html).text
    summary = json.loads((folder / "summary.json").read_text())
    assert f"{summary['accuracy']['mean']:.1f}" in text
    assert f"{summary['parameters']:,}" in text
    assert f"{summary['spikes_per_inference']:,.0f}" in text
    for said in ("20.0 %, a guess", "93.5 ± 0.3 %", "71.2 ± 0.8 %", "20-way 1-shot", "5-way 5-shot"):
        assert said in text
    for said in ("1,000", "chance 20 %", "61 s", "59 s", "3f2c9d1"):
        assert said in text


BPTT = 'kind = "bptt"'
WITHOUT_READOUT = ['kind = "prototype"', 'kind = "bptt"\nhead = "zero"']


def rewritten(run: Path, rule: str, **changed: object) -> tuple[read.Reading, str]:
    """The run with another plasticity and other entries in every evaluation, and the words of its page."""
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace('[plasticity]\nkind = "prototype"', f"[plasticity]\n{rule}"))
    for path in (run / "summary.json", *(run / "evaluations").iterdir()):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    return read.load(run), Reader(page.write([run]).read_text(encoding="utf-8")).text


@pytest.mark.parametrize("rule", WITHOUT_READOUT)
def test_without_a_readout_before_adaptation_a_guess_is_called_a_guess(copy, rule):
    run, text = rewritten(copy, rule)
    assert "Before it saw the examples it had no readout yet, so its answer was a guess: right 20 % of the time." in text
    assert "the same network was right" not in text
    assert "before adaptation it named" not in text
    drawing = figures.accuracy([run], ["run"])
    assert "the answer is a guess" in drawing.caption
    assert "20.0 % before (a guess)" in drawing.alt


@pytest.mark.parametrize(("before", "said"), [((20.3, 0.4), "at chance"), ((20.9, 0.4), "guessing would give 20 %")])
def test_a_head_is_at_chance_where_chance_lies_inside_the_interval(copy, before, said):
    run, text = rewritten(copy, BPTT, before_adaptation=dict(zip(("mean", "ci95"), before, strict=True)))
    assert f"the same network was right {before[0]} ± 0.4 % of the time: {said}." in text
    assert "guess:" not in text
    drawing = figures.accuracy([run], ["run"])
    assert "a guess" not in drawing.caption + drawing.alt


def test_a_head_says_how_many_it_named_right_before(copy):
    run, text = rewritten(copy, BPTT)
    assert run.episode is not None
    right = (run.episode["predicted_before"] == run.episode["query_y"]).sum()
    assert f"before adaptation it named {right} of these 25 right" in text


def test_page_names_the_commands_that_repeat_it(single):
    folder, html = single
    text = Reader(html).text
    assert f"neurometa run {folder / 'config.toml'}" in text
    assert json.loads((folder / "summary.json").read_text())["command"] in text
    assert (folder / "config.toml").read_text().strip() in text


def test_every_figure_has_a_text_alternative_and_a_caption(single):
    html = single[1]
    svgs = re.findall(r"<svg [^>]*>", html)
    assert len(svgs) == 2 * html.count("<figcaption>") == 10
    assert all('role="img"' in svg and re.search(r'aria-label="[^"]{20,}"', svg) for svg in svgs)
    assert html.count("<h1>") == 1


def test_layer_outside_the_band_is_named(single):
    assert "layer 4 is below the band" in Reader(single[1]).text


def test_two_runs_are_set_side_by_side(pair):
    folders, html = pair
    text = Reader(html).text
    assert "a spiking network gets 93.5 % right, its conventional twin 95.1 %" in text
    assert "Side by side" in text
    assert "there is no raster and no firing rate" in text
    assert (folders[0] / "figures" / "comparison.svg").is_file()
    assert not (folders[1] / "figures" / "raster.svg").exists()


def test_runs_judged_on_other_problems_are_said_to_differ(make_run):
    runs = [read.load(make_run()), read.load(make_run("twenty", ways=20))]
    assert "not all judged on the same kind of problem" in opening.opening(runs, ["five", "twenty"])
    for together, alike in ((runs, False), (runs[:1] * 2, True)):
        drawing = figures.comparison(together, ["five", "twenty"])
        assert drawing is not None
        assert ("judged on the same kind of problem" in drawing.caption) is alike
    assert "five: It is shown 1 example of each of 5 characters" in opening.method(runs, ["five", "twenty"])


def test_runs_of_one_name_are_told_apart(make_run):
    seeds = [read.load(make_run(seed=seed)) for seed in (1, 2)]
    assert words.labels(seeds) == ["glyphs-prototype (seed 1)", "glyphs-prototype (seed 2)"]
    kinds = [read.load(make_run(spiking=spiking)) for spiking in (True, False)]
    assert words.labels(kinds) == ["glyphs-prototype (spiking)", "glyphs-prototype (conventional)"]
    assert words.labels([seeds[0]]) == ["glyphs-prototype"]


def test_text_of_a_run_is_escaped(make_run):
    folder = make_run("<script>alert('x')</script>")
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "network": "<img src=x onerror=y>", "command": "a && <b>"}))
    (folder / "environment.json").write_text(json.dumps({"<i>": {"commit": "</dl><script>"}}))
    html = page.write([folder]).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<img" not in html
    assert "<i>" not in html
    assert "&lt;script&gt;alert(" in html
    assert "a &amp;&amp; &lt;b&gt;" in html


def test_every_missing_file_is_said_in_its_place(copy, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(copy / "config.toml", bare)
    text = Reader(page.write([bare], tmp_path / "bare.html").read_text(encoding="utf-8")).text
    for said in (
        "There is no result yet",
        "not yet judged",
        "No firing rates are recorded",
        "spiking convolutional network, channels 32-64-64-64",
    ):
        assert said in text
    for gone in ("episode.npz", "metrics.jsonl", "environment.json"):
        assert f"This folder has no {gone}." in text


@pytest.mark.parametrize("name", ["episode.npz", "metrics.jsonl", "summary.json", "environment.json", "evaluations/unseen-5w5s-1.json"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04torn", b"[1, 2]\n", b"\xff\xfe{\n"])
def test_damaged_file_becomes_a_gap_that_names_it(copy, name, content):
    (copy / name).write_bytes(content)
    assert name in read.load(copy).gaps[name]


def test_run_with_every_file_damaged_makes_a_page(copy):
    for name in ("episode.npz", "metrics.jsonl", "summary.json", "environment.json", "evaluations/unseen-5w5s-1.json"):
        (copy / name).write_bytes(b"torn")
    assert "episode.npz is there but cannot be read." in page.write([copy]).read_text(encoding="utf-8")


def test_line_still_being_written_is_left_out(copy):
    with (copy / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2005, "lo')
    assert read.load(copy).metrics["step"].to_list() == list(range(5, 2001, 5))


def test_learner_at_chance_is_not_praised(copy):
    summary = json.loads((copy / "summary.json").read_text())
    (copy / "summary.json").write_text(json.dumps({**summary, "accuracy": {"mean": 20.2, "ci95": 0.4}}))
    assert opening.title([read.load(copy)]) == "This spiking network does no better than guessing on new characters"


def test_published_learner_is_read_and_never_written(copy, tmp_path):
    (copy / "environment.json").unlink()
    shutil.rmtree(copy / "figures")
    before = sorted(copy.rglob("*"))
    page.write([copy], tmp_path / "out" / "page.html")
    assert sorted(copy.rglob("*")) == before
    assert (tmp_path / "out" / "page-figures" / "glyphs-prototype" / "accuracy.svg").is_file()


def test_folder_that_is_no_run_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"no config\.toml"):
        page.write([tmp_path])
    (tmp_path / "config.toml").write_text("name = ")
    with pytest.raises(UserError, match="cannot be read"):
        page.write([tmp_path])
    with pytest.raises(UserError, match="at least one"):
        page.write([])


def test_page_that_cannot_be_written_is_one_line(copy, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        page.write([copy], tmp_path / "file" / "page.html")


def test_a_table_that_is_switched_off_is_read_as_this_version_wrote_it(copy):
    config = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(config.replace("binary = true", "augment = false"))
    read_as = read.load(copy).config
    assert read_as["task"]["augment"] is None
    assert read_as["training"]["schedule"] == "cosine", "defaults are filled in"


def test_folder_that_holds_one_run_stands_for_it(copy):
    assert read.load(copy.parent).folder == copy


ESTIMATE = {
    "chip": "loihi1", "profile": "davies2018", "title": "Loihi", "model": "event", "phase": "inference", "lower_bound": False,
    "energy_nj": {"low": 250e3, "value": 411e3, "high": 659e3}, "latency_us": {"low": 1.0, "value": 726.0, "high": 900.0},
    "parts": {"synaptic_event": {"low": 1, "value": 230e3, "high": 1}, "static": {"low": 1, "value": 181e3, "high": 1}},
    "basis": ["energy.synaptic_event: 23.6 pJ, simulated, davies2018"], "kinds": ["simulated"], "includes_static": True,
    "left_out": ["5,760 products by the host"], "notes": ["placed greedily"], "side": 0,
}  # fmt: skip


def test_an_estimated_run_shows_its_energy_the_break_even_and_every_assumption(copy):
    unavailable = [{"run": "x", "chip": "odin", "profile": "", "phase": "inference", "why": "odin is too small"}]
    runs = [{"counts": {"inference": {"spike_rate": 0.094}}}]
    learning = {**ESTIMATE, "phase": "adaptation", "lower_bound": True}
    (copy / "estimate.json").write_text(json.dumps({"estimates": [ESTIMATE, learning], "unavailable": unavailable, "runs": runs}))
    html = page.write([copy]).read_text(encoding="utf-8")
    said = Reader(html)
    for words_ in ("Energy and latency", "411 µJ", "250 µJ to 659 µJ", "726 µs", "≥ 411 µJ", "250 µJ to open", "9.4 % of the time steps",
                   "above the published 5.7 %", "Assumed: placed greedily (loihi1)", "Left out: products by the host (loihi1)",
                   "odin", "23.6 pJ, simulated, davies2018", "break-even, 5 steps: 5.7 %"):  # fmt: skip
        assert words_ in said.text, words_
    assert len(said.ids) == len(set(said.ids))
    assert all(reference.startswith(("data:", "#")) for reference in said.references)


def test_a_run_that_was_not_estimated_says_how(single):
    assert "Nothing is estimated in this folder" in Reader(single[1]).text
    assert "neurometa estimate" in Reader(single[1]).text


def test_shares_of_an_energy_are_all_of_it():
    found = breakdown.shares({name: {"value": 1.0} for name in ("synaptic_event_conv", "hop_east_west", "static", "weights", "new_thing")})
    assert found == {"synapses": 0.2, "messages": 0.2, "memory": 0.2, "always on": 0.4}
