import math
import re
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import xarray as xr

from forecast.report.html import checks, render, write_report
from tests import report_data

VOID = {"meta", "br", "img", "link", "input", "hr"}
NASTY = '<script>alert("x")</script> & <img src=http://evil.example/x onerror=1>'


class Page(HTMLParser):
    """Collect tags, ids, links and text, and check that every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.sources, self.words = [], [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])
        self.sources += [found[k] for k in ("src", "srcset", "data", "poster") if k in found]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def tree():
    return report_data.forecast_tree(60, 32)


@pytest.fixture(scope="module")
def html(tree):
    return render(tree, report_data.description(), report_data.health(), report_data.sources())


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page):
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert len(inside) >= 12
    assert set(inside) <= set(page.ids)


def test_the_page_asks_for_nothing_from_outside(html, page):
    assert not {t for t, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "form"}
    assert page.sources == []
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not [a for _, found in page.tags for a in found if a.startswith("on")]
    policy = next(found["content"] for tag, found in page.tags if found.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_the_page_holds_every_section_and_headline_figure(page, tree):
    for section in (
        "headline", "outcomes", "causes", "storylines", "refusals", "consequences", "base-rates",
        "not-covered", "deal", "calibration", "sources", "provenance",
    ):  # fmt: skip
        assert section in page.ids
    mean = float(tree["summary"]["state_mean"].sel(state="signed")[24])
    assert f"{mean:.0%}" in page.text
    for word in ("90% interval", "Monte Carlo error", "ICD 203", "United States", "Wants", "as of 15 March 2025"):
        assert word in page.text
    assert report_data.description().not_covered[1] in page.text
    assert "not seen" in page.text or "never seen" in page.text


def test_provenance_names_command_seed_commit_versions_and_every_input(page, tree):
    for key in ("command", "seed", "git_commit", "deal_digest", "calibration_digest", "created"):
        assert str(tree.attrs[key]) in page.text
    for name in ("numpy 2.5.5", "deal.toml", "experts.csv", "facts.jsonl", "ab" * 32):
        assert name in page.text


def test_every_parameter_is_listed_with_its_origin(page):
    for name, label, *_ in report_data.PARAMETERS:
        assert name in page.text
        assert label.partition(",")[0] in page.text
    assert "reference class us_party_change, transfer sd 0.2" in page.text


def test_a_published_run_has_no_banner_and_a_held_one_says_why(page):
    assert "Held:" not in page.text
    failed = report_data.health(gate_passed=False, problems=("3 divergences (allowed 0)",), divergences=3)
    held = Page(render(report_data.forecast_tree(20, 16, status="held"), report_data.description(), failed))
    assert "Held: this forecast has not been published" in held.text
    assert "worst R-hat 1.031 for 'fighting_resumes' (allowed 1.01)" in held.text
    assert "The fit did not pass its gate" in held.text
    assert [t for t, found in held.tags if found.get("role") == "alert"] == ["div"]


def test_markup_in_any_input_is_shown_and_not_obeyed(tree):
    odd = report_data.relabelled(tree, "cause", [NASTY] * len(report_data.CAUSES))
    odd = report_data.relabelled(odd, "outcome", [NASTY] * len(report_data.OUTCOMES))
    odd.attrs["command"] = odd.attrs["git_commit"] = NASTY
    plain = report_data.description()
    deal = replace(
        plain,
        title=NASTY,
        summary=NASTY,
        parties=((NASTY, (NASTY,), (NASTY,)),),
        clauses=((NASTY, NASTY, NASTY),),
        sentences=(NASTY,),
        not_covered=(NASTY,),
        calendar=((report_data.HORIZON, NASTY),),
        refusals=dict.fromkeys(plain.refusals, NASTY),
        consequence_groups=tuple((NASTY, NASTY, a, b) for _, _, a, b in plain.consequence_groups),
        headline=tuple((NASTY, *h[1:]) for h in plain.headline),
        sources=((NASTY, NASTY),),
        diagram_svg=f"<svg xmlns='http://www.w3.org/2000/svg'>{NASTY}</svg>",
    )
    health = report_data.health(problems=(NASTY,), digest=NASTY)
    sources = [replace(s, label=NASTY, origin=NASTY, source=NASTY) for s in report_data.sources()]
    page = Page(render(odd, deal, health, sources))
    assert not {t for t, _ in page.tags} & {"script", "iframe"}
    images = [found for tag, found in page.tags if tag == "img"]
    assert [i["src"][:26] for i in images] == ["data:image/svg+xml;base64,"]
    assert page.text.count('<script>alert("x")</script>') > 20


def test_links_in_sources_stay_links_and_only_to_the_web(tree):
    (row, *rest) = report_data.sources()
    odd = replace(row, source="See https://ucdp.uu.se/ and javascript:alert(1)")
    page = Page(render(tree, report_data.description(), report_data.health(), [odd, *rest]))
    outside = [link for link in page.links if not link.startswith("#")]
    assert "https://ucdp.uu.se/" in outside
    assert all(link.startswith("https://") for link in outside)


def test_a_forecast_without_extras_still_makes_a_page(tree):
    bare = tree.copy()
    del bare["storylines"], bare["base_rates"]
    deal = report_data.description(
        calendar=(), refusals={}, consequence_groups=(), headline=(), parties=(), clauses=(), sentences=(),
        not_covered=(), sources=(),
    )  # fmt: skip
    page = Page(render(bare, deal, report_data.health(), ()))
    assert page.open == []
    assert "storylines" not in page.ids
    assert "not stated" in page.text
    assert "Assume that whatever it does not name is not covered" in page.text


@pytest.mark.parametrize(
    ("figure", "bad", "line"),
    [
        ("worst_rhat", 1.02, 0),
        ("worst_rhat", float("nan"), 0),
        ("smallest_ess_bulk", 399.0, 1),
        ("smallest_ess_tail", float("nan"), 2),
        ("divergences", 1, 3),
        ("divergences", -1, 3),
        ("bfmi", 0.3, 4),
        ("bfmi", float("nan"), 4),
    ],
)
def test_each_check_fails_on_its_own_figure_and_on_nan(figure, bad, line):
    assert all(c.passed for c in checks(report_data.health()))
    rows = checks(report_data.health(**{figure: bad}))
    assert [c.passed for c in rows] == [i != line for i in range(5)]
    assert (rows[line].value == "n/a") == (math.isnan(bad) or bad < 0)


def test_the_same_forecast_gives_the_same_bytes(tree, html):
    assert html == render(tree, report_data.description(), report_data.health(), report_data.sources())


def test_a_stored_run_gives_the_same_report_as_a_fresh_one(tree, html, tmp_path):
    tree.to_zarr(tmp_path / "forecast.zarr", zarr_format=3, consolidated=False)
    stored = xr.open_datatree(tmp_path / "forecast.zarr", engine="zarr", consolidated=False)
    assert render(stored, report_data.description(), report_data.health(), report_data.sources()) == html


def test_the_report_of_a_full_run_is_written_in_seconds(tmp_path):
    """4,000 draws; processor time, which a busy machine does not lengthen."""
    tree = report_data.forecast_tree(4000, 64)
    start = time.process_time()
    write_report(tmp_path / "report.html", tree, report_data.description(), report_data.health(), report_data.sources())
    assert time.process_time() - start < 4
    assert (tmp_path / "report.html").stat().st_size < 1_500_000


def test_the_report_does_not_import_arviz_or_pymc():
    heavy = "('arviz', 'pymc', 'matplotlib.pyplot')"
    code = f"import forecast.report.html, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
