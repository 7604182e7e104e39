"""BibTeX of a run: its rule, outer loop and data, and the chips it was estimated on."""

import json
import re

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
    assert list(works) == ["neurometa", "snell2017", "lake2015"]
    assert missing == []
    basis = ["energy.synaptic_event: 23.6 pJ, simulated, davies2018", "power.static: 104 mW, measured, frady2020"]
    (tmp_path / "estimate.json").write_text(json.dumps({"estimates": [{"chip": "loihi1", "profile": "davies2018", "basis": basis}]}))
    works, _ = cite.entries(tmp_path)
    assert list(works)[3:] == ["davies2018", "frady2020"]
    text = cite.bibtex(works)
    assert "eprint = {1703.05175}" in text
    assert "doi = {10.1126/science.aab3050}" in text
    assert len(re.findall(r"^@misc\{\w+,$", text, re.MULTILINE)) == 5
    assert text.count("{") == text.count("}")
