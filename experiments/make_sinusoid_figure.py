"""Draw docs/assets/sinusoid.svg from a run of experiments/sinusoid-bptt.toml.

python -m experiments.make_sinusoid_figure RUN
"""

import sys
from pathlib import Path

from neurometa.report import read
from neurometa.report.regression import drawn
from neurometa.report.style import file_text

OUT = Path(__file__).parent.parent / "docs" / "assets" / "sinusoid.svg"


def main() -> None:
    """Draw the run's own episode."""
    run = read.load(Path(sys.argv[1]))
    if run.episode is None:
        raise SystemExit(f"{sys.argv[1]} holds no episode: give a run that has ended")
    OUT.write_text(file_text(drawn(run.episode, 700)), encoding="utf-8")


if __name__ == "__main__":
    main()
