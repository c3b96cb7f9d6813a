"""Write the table of what was held out into docs/calibration.md: `python docs/holdout.py [RESULT]`, or `--check`.

RESULT is the holdout.json that `forecast verify holdout` has written; it is kept as docs/holdout.json.
"""

import shutil
import sys
from pathlib import Path

from forecast.analysis.holdout import read
from forecast.report.holdout import markdown

HERE = Path(__file__).parent
PAGE, STORED = HERE / "calibration.md", HERE / "holdout.json"
BEGIN, END = "<!-- held out: made by docs/holdout.py -->\n", "<!-- end -->\n"


def page() -> str:
    """The page with the table that the stored result makes."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{PAGE}: the lines {BEGIN.strip()!r} and {END.strip()!r} are not both there")
    return before + BEGIN + markdown(read(STORED)) + END + after


def main() -> int:
    """Write the table, or say that it is out of date."""
    arguments = sys.argv[1:]
    if arguments == ["--check"]:
        stale = PAGE.read_text(encoding="utf-8") != page()
        if stale:
            sys.stderr.write("docs/calibration.md is out of date: run python docs/holdout.py\n")
        return int(stale)
    if arguments:
        shutil.copyfile(arguments[0], STORED)
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
