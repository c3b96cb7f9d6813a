"""The pages that are made from the code are up to date, and the README says what the commands say."""

import re
import subprocess
import sys
from pathlib import Path

from forecast.cli import app


def test_generated_pages_are_up_to_date():
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readme_names_every_command():
    readme = Path("README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`forecast ([a-z]+)", readme)) | {"show"}
    assert named >= set(app.commands)


def test_links_between_pages_lead_somewhere():
    for page in [Path("README.md"), *Path("docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"
