"""BibTeX of a run: its rule, outer loop and data, and the chips it was estimated on."""

import json
import re
import tomllib
from importlib import resources

import pytest

from neurometa.experiment.catalogue import catalogue
from neurometa.report import cite

CONFIG = """name = "one"
[task]
kind = "omniglot"
[plasticity]
kind = "prototype"
[estimator]
kind = "unrolled"
"""


def test_a_run_cites_what_it_rests_on(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    works, missing = cite.entries(tmp_path)
    assert list(works) == ["neurometa", "snell2017", "lake2015", "vinyals2016"]
    assert missing == []
    basis = ["energy.synaptic_event: 23.6 pJ, simulated, davies2018", "power.static: 104 mW, measured, frady2020"]
    (tmp_path / "estimate.json").write_text(json.dumps({"estimates": [{"chip": "loihi1", "profile": "davies2018", "basis": basis}]}))
    works, _ = cite.entries(tmp_path)
    assert list(works)[4:] == ["davies2018", "frady2020"]
    text = cite.bibtex(works)
    assert "eprint = {1703.05175}" in text
    assert "doi = {10.1126/science.aab3050}" in text
    assert len(re.findall(r"^@misc\{\w+,$", text, re.MULTILINE)) == 6
    assert text.count("{") == text.count("}")


KNOWN = tomllib.loads((resources.files("neurometa.report") / "citations.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("part", cite.PARTS)
def test_every_kind_has_its_works(part):
    kinds = {row["name"] for row in catalogue(part if part == "plasticity" else f"{part}s")}
    assert set(KNOWN[part]) == kinds
    own = {kind for kind in kinds if not KNOWN[part][kind]["works"]}
    assert own <= {"frozen", "unrolled"}  # doing nothing, and exact differentiation, are nobody's
    assert all(key in KNOWN["works"] for kind in kinds for key in KNOWN[part][kind]["works"])


def test_every_work_has_a_title_authors_a_year_and_where_to_find_it():
    for key, work in KNOWN["works"].items():
        assert {"title", "authors", "year"} < set(work), key
        assert "doi" in work or "arxiv" in work, key


def test_cells_are_cited_where_the_readout_was_judged_in_them(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG + '[evaluation]\ncells = "pcm"\n')
    assert {"aihwkit", "meta-analog"} < set(cite.entries(tmp_path)[0])
