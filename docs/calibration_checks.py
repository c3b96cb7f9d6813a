"""Make docs/calibration-checks.md: `python docs/calibration_checks.py FOLDER [--datasets 500] [--seed 1]`.

Runs `forecast verify calibration` over all kinds of model, going on with what FOLDER holds already.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from forecast.calibrate.sbc.registry import CASES
from forecast.verification import table, verify_calibration

HERE = Path(__file__).parent
PICTURES = HERE / "calibration-checks"

HEAD = """# Simulation-based calibration

<!-- Made by docs/calibration_checks.py; do not edit. -->

For each kind of model: parameters are drawn from the prior, data from the parameters by code of their own, and the
model is fitted to the data. If the posteriors are what they claim to be, the rank of each true number among its
posterior draws is uniform (Talts et al. 2018; Modrák et al. 2023). Made by

```
{command}
```

which is `forecast verify calibration --datasets {datasets} --seed {seed}`, with
{versions}.

The seed is the command's default; no other was run at this size. Whatever diverges or mixes badly is counted, and so
are its ranks. They are tested by chi-squared and by the exact simultaneous envelope of their ECDF (Säilynoja, Bürkner &
Vehtari 2022). A bias alone is no error: the mean of a skewed posterior, or of one without a prior as the experts'
consensus has, may be off while ranks are uniform.

Of a piecewise hazard `class__base` and the effects of levels have no ranks. They are taken about the class's average,
weighted by time at risk, which there is part of the data: they mean something else in each data set, and a first run
that ranked them failed for it. The rates themselves and the contrast between levels keep their meaning and are ranked.

"""


def main() -> int:
    """Run or read the studies, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--datasets", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    done = verify_calibration([], datasets=asked.datasets, seed=asked.seed, out=asked.folder, progress=_say)
    first = next(iter(done.studies.values())).attrs
    versions = ", ".join(f"{k} {v}" for k, v in json.loads(first["versions"]).items())
    command = f"python docs/calibration_checks.py FOLDER --datasets {asked.datasets} --seed {asked.seed}"
    PICTURES.mkdir(exist_ok=True)
    lines = [HEAD.format(command=command, datasets=asked.datasets, seed=asked.seed, versions=versions).rstrip(), ""]
    lines += [*table(done.studies, done.verdict), ""]
    for kind in done.studies:
        shutil.copy(asked.folder / f"{kind}.png", PICTURES / f"{kind}.png")
        lines += [f"## {CASES[kind].title}", "", f"![Ranks of {kind}](calibration-checks/{kind}.png)", ""]
    (HERE / "calibration-checks.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return 1 if done.verdict.problems else 0


def _say(kind: str, done: int, total: int) -> None:
    if done == total:
        sys.stderr.write(f"{kind}: {total} data sets\n")


if __name__ == "__main__":
    sys.exit(main())
