"""A made-up but realistic forecast, in the layout of forecast/schema.py, for the tests of the report."""

import json
from datetime import date
from itertools import pairwise

import numpy as np
import xarray as xr

from forecast import schema
from forecast.deal.describe import Description
from forecast.deal.parameters import Parameter
from forecast.report.model import Health, Source
from forecast.types import monthly_grid, years_between

AS_OF, HORIZON = date(2025, 3, 15), date(2035, 3, 15)

CAUSES = {
    "no_deal": "Talks collapse without a deal",
    "us_withdrawal": "A new US administration withdraws",
    "ukrainian_repudiation": "A Ukrainian leader repudiates the deal",
    "verification_refused": "Verification is refused",
    "kaliningrad_default": "Kaliningrad: weapons are not withdrawn",
    "transnistria_default": "Transnistria: troops are not withdrawn",
    "export_violation": "Export limits are violated",
    "neutrality_reversed": "The promise of neutrality is reversed",
    "fighting_resumes": "Fighting resumes",
}
OUTCOMES = (
    {"in_force_fulfilled": "In force, every clause fulfilled", "in_force": "In force, clauses outstanding"}
    | {("no_deal" if k == "no_deal" else f"breakdown/{k}"): v for k, v in CAUSES.items()}
    | {"talks_open": "Talks still open"}
)
STATES = {"signed": "The package has been signed", "us_opposed": "The US administration is opposed"}
BUYERS = {"india": ("India", 0.7), "algeria": ("Algeria", 0.2), "egypt": ("Egypt", 0.1)}
SUPPLIERS = {"us": "United States", "france": "France", "turkey": "Turkey", "china": "China", "other": "others"}
LOST = {f"arms_{b}_lost": f"{name}: no longer bought from Russia" for b, (name, _) in BUYERS.items()}
GAINED = {
    f"arms_{b}_{s}": f"{name}: bought from {supplier} instead"
    for b, (name, _) in BUYERS.items()
    for s, supplier in SUPPLIERS.items()
}
CONSEQUENCES = LOST | GAINED
GAIN_SHARES = (0.31, 0.27, 0.09, 0.12, 0.21)  # in the order of SUPPLIERS
FIRINGS = {
    "us_decides/refuses": "Negotiation round: the United States refuses",
    "russia_decides/refuses": "Negotiation round: Russia refuses",
    "ukraine_decides/refuses": "Negotiation round: Ukraine refuses",
    "round/all_accept": "Negotiation round: all accept",
    "us_election/change": "US election: power changes hands",
    "us_election/same": "US election: the party in office stays",
    "fighting_resumes": "Fighting resumes",
}
UNIT = "TIV million"
HAZARD = (0.045, 0.022, 0.02, 0.016, 0.008, 0.024, 0.012, 0.001, 0.055)  # 1/year, in the order of CAUSES

PARAMETERS = (
    ("rate_signing", "Rate at which all parties accept a package", "per year", 0.45, 0.3),
    ("fighting_resumes[0-1]", "Fighting resumes, first year after signature", "per year", 0.081, 0.25),
    ("fighting_resumes[1-3]", "Fighting resumes, years 1 to 3", "per year", 0.052, 0.3),
    ("fighting_resumes[3+]", "Fighting resumes, later", "per year", 0.028, 0.35),
    ("us_change", "Power changes hands at a US presidential election", "probability", 0.47, 0.09),
    ("us_opposed_given_change", "A newcomer opposes the deal", "probability", 0.42, 0.2),
    ("effect_default_on_default", "One default raises the hazard of the others", "log ratio", 0.69, 0.35),
    ("oral_worth", "Worth of an oral promise against a binding one", "1", 0.38, 0.2),
    ("export_loss", "Russian arms exports given up while the limits hold", "TIV million per year", 1240.0, 0.2),
    ("discount_rate", "Discount rate", "per year", 0.0, 0.0),
)


def incidence(rng: np.random.Generator, n_draw: int, lead: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw by draw: P(ended by cause, by t) (draw, time, cause), P(signed and alive), P(signed by t)."""
    level = rng.lognormal(0.0, 0.35, (n_draw, 1)) * rng.lognormal(0.0, 0.3, (n_draw, len(HAZARD)))
    hazard = np.asarray(HAZARD) * level
    signing = 0.45 * rng.lognormal(0.0, 0.3, n_draw)
    talks, force, signed = np.ones(n_draw), np.zeros(n_draw), np.zeros(n_draw)
    ended = np.zeros((n_draw, len(HAZARD)))
    rows = [(ended.copy(), force.copy(), signed.copy())]
    for left, right in pairwise(lead):
        step = right - left
        election = 2.5 if any(left < e <= right for e in (3.85, 7.85)) else 0.0
        rate = hazard.copy()
        rate[:, 1] += election * 0.1 * level[:, 0]
        rate[:, 8] *= np.where(right < 2, 1.6, 0.8)
        collapse = talks * -np.expm1(-rate[:, 0] * 3 * step)
        new = (talks - collapse) * -np.expm1(-signing * step)
        loss = force * -np.expm1(-rate[:, 1:].sum(1) * step)
        ended[:, 0] += collapse
        ended[:, 1:] += loss[:, None] * rate[:, 1:] / rate[:, 1:].sum(1, keepdims=True)
        talks, force, signed = talks - collapse - new, force - loss + new, signed + new
        rows.append((ended.copy(), force.copy(), signed.copy()))
    return tuple(np.stack(x, axis=1) for x in zip(*rows, strict=True))  # type: ignore[return-value]


def _counted(rng: np.random.Generator, p: np.ndarray, replicates: int) -> np.ndarray:
    """Counts over `replicates` paths of monotone curves `p` (draw, time, k), as fractions."""
    step = np.clip(np.diff(p, axis=1, prepend=0.0), 0.0, None)
    flat = step.reshape(len(p), -1)
    rest = np.clip(1.0 - flat.sum(1, keepdims=True), 0.0, 1.0)
    pvals = np.concatenate([flat, rest], axis=1)
    count = rng.multinomial(replicates, pvals / pvals.sum(1, keepdims=True))[:, :-1]
    return np.cumsum(count.reshape(p.shape), axis=1) / replicates


def _summary(dim: str, p: np.ndarray, replicates: int) -> dict[str, np.ndarray]:
    mean, noise = p.mean(0), (p * (1 - p) / replicates).mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        keep = np.sqrt(np.clip(1 - np.nan_to_num(noise / p.var(0)), 0.0, 1.0))
    lower, upper = np.quantile(mean + keep * (p - mean), (0.05, 0.95), axis=0)
    figures = {"mean": mean, "lower": lower, "upper": upper, "mcse": np.sqrt(noise / len(p))}
    return {f"{dim}_{k}": np.clip(v, 0.0, 1.0) for k, v in figures.items()}


def forecast_tree(n_draw: int = 200, replicates: int = 64, *, status: str = "published", seed: int = 7) -> xr.DataTree:
    """Build the whole tree; the never-seen cause `neutrality_reversed` has probability zero."""
    rng = np.random.default_rng(seed)
    days = monthly_grid(AS_OF, HORIZON)
    lead = np.array([years_between(AS_OF, d) for d in days])
    cause, force, signed = incidence(rng, n_draw, lead)
    cause[:, :, 7] = 0.0
    cause = _counted(rng, cause, replicates)
    alive = 1.0 - cause.sum(2)
    in_force = np.minimum(np.rint(force * replicates) / replicates, alive)
    fulfilled = np.rint(in_force * np.clip(lead / 14, 0, 0.6) * replicates) / replicates
    outcome = np.concatenate(
        [fulfilled[..., None], (in_force - fulfilled)[..., None], cause, (alive - in_force)[..., None]], axis=2
    )
    state = np.stack([signed, signed * 0.3 * (lead > 3.85)], axis=2)
    russia = (
        -1240
        * rng.lognormal(0, 0.2, (n_draw, 1))
        * np.concatenate([np.zeros((n_draw, 1)), np.cumsum(in_force[:, 1:] * np.diff(lead), axis=1)], axis=1)
    )
    lost = russia[..., None] * np.array([part for _, part in BUYERS.values()])
    share = rng.dirichlet(np.array(GAIN_SHARES) * 40, (n_draw, len(BUYERS)))
    gained = -lost[..., None] * share[:, None]
    money = np.concatenate([lost, gained.reshape(n_draw, len(days), -1)], axis=2)
    value = np.stack([np.full(n_draw, m) * np.exp(s * rng.standard_normal(n_draw)) for *_, m, s in PARAMETERS], 1)
    frequency = np.array([0.9, 1.6, 3.4, 0.7, 0.9, 1.1, 0.2]) * rng.lognormal(0, 0.2, (n_draw, len(FIRINGS)))
    coords = {
        "draw": np.arange(n_draw),
        "time": np.array(days, "datetime64[ns]"),
        "lead": lead,
        "parameter": [p[0] for p in PARAMETERS],
        "parameter_label": [p[1] for p in PARAMETERS],
        "parameter_unit": [p[2] for p in PARAMETERS],
        "consequence_unit": [UNIT] * len(CONSEQUENCES),
        "consequence_conserved": [c.rpartition("_")[0] for c in CONSEQUENCES],
    }
    for dim, names in _DIMS.items():
        coords |= {dim: list(names), f"{dim}_label": list(names.values())}
    summary: dict[str, np.ndarray] = {}
    for dim, p in (("outcome", outcome), ("cause", cause), ("state", state)):
        summary |= _summary(dim, p, replicates)
    variables = {
        "outcome_probability": outcome,
        "cumulative_incidence": cause,
        "state_probability": state,
        "consequence_amount": money,
        "consequence_mcse": np.abs(money[:, -1]).std(0) / np.sqrt(n_draw * replicates),
        "event_frequency": frequency,
        "parameters": value,
        **{f"{name}_mcse": summary[f"{dim}_mcse"] for name, dim in schema.PROBABILITY_DIMS.items()},
    }
    groups = {
        "/": schema.dataset("/", _attrs(n_draw, replicates, status), **coords, **variables),
        "/summary": schema.dataset("/summary", **summary),
        "/storylines": _storylines(),
        "/base_rates": _base_rates(),
    }
    return xr.DataTree.from_dict(groups)


_DIMS = {
    "outcome": OUTCOMES, "cause": CAUSES, "state": STATES, "consequence": CONSEQUENCES, "firing": FIRINGS,
}  # fmt: skip


def _attrs(n_draw: int, replicates: int, status: str) -> dict[str, object]:
    held = ["worst R-hat 1.031 for 'fighting_resumes' (allowed 1.01)", "3 divergences (allowed 0)"]
    return {
        "deal_id": "ukraine_2025",
        "title": "A settlement over Ukraine between the United States and Russia",
        "deal_digest": "5f0c6a2f9b1d4a7e8c3b2a1908f7e6d5c4b3a2918070605040302010f0e0d0c0",
        "as_of": AS_OF.isoformat(),
        "horizon": HORIZON.isoformat(),
        "seed": 20250315,
        "draws": n_draw,
        "replicates": replicates,
        "paths": n_draw * replicates,
        "status": status,
        "held_reasons": json.dumps(held if status == "held" else []),
        "command": "forecast run priors/ukraine_2025",
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "versions": json.dumps({"forecast": "0.1.0", "numpy": "2.5.5", "numba": "0.68.0", "pymc": "6.4.0"}),
        "inputs": json.dumps({"deal.toml": "ab" * 32, "experts.csv": "cd" * 32, "facts.jsonl": "ef" * 32}),
        "calibration_digest": "9d" * 32,
        "created": "2025-03-15T09:12:44Z",
        "schema": schema.SCHEMA,
    }


def _storylines() -> xr.Dataset:
    rows = (
        ("The package is signed → Still in force at the horizon", "", 0.212, "Sep 2026", 17),
        ("Ukraine refuses → Talks collapse without a deal", "no_deal", 0.143, "Feb 2027", 402),
        ("The package is signed → Fighting resumes", "fighting_resumes", 0.097, "Aug 2026 → Jan 2029", 1033),
        (
            "The package is signed → US election: power changes hands → A new US administration withdraws",
            "us_withdrawal", 0.061, "Jul 2026 → Nov 2028 → Jan 2029", 88,
        ),
        (
            "The package is signed → Transnistria: the deadline passes → Transnistria: troops are not withdrawn",
            "transnistria_default", 0.052, "Oct 2026 → Oct 2028 → Oct 2028", 2210,
        ),
    )  # fmt: skip
    text, cause, frequency, dates, path = zip(*rows, strict=True)
    mcse = [(f * (1 - f) / 20_000) ** 0.5 for f in frequency]
    return schema.dataset(
        "/storylines",
        text=text,
        ended_by=cause,
        frequency=frequency,
        frequency_mcse=mcse,
        dates=dates,
        example_path=path,
    )


def _base_rates() -> xr.Dataset:
    rows = (
        ("Peace agreement breaks down within 5 years", 0.34, 0.25, 0.44, 0.37, 0.30, 0.45, True, ""),
        ("Fighting resumes within 5 years of signature", 0.24, 0.16, 0.33, 0.29, 0.24, 0.35, True, ""),
        ("The party in the White House changes at the next election", 0.47, 0.40, 0.54, 0.47, 0.33, 0.61, True, ""),
        (
            "A withdrawal promise is kept on time", 0.22, 0.13, 0.33, 0.46, 0.36, 0.56, False,
            "The promise is oral and unverified; the class mixes binding treaties with oral promises.",
        ),
    )  # fmt: skip
    names = (
        "mechanism", "model_mean", "model_lower", "model_upper",
        "reference_value", "reference_lower", "reference_upper", "agrees", "explanation",
    )  # fmt: skip
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    n = len(rows)
    source = ["UCDP Peace Agreement Dataset 22.1; https://ucdp.uu.se/downloads/"] * n
    return schema.dataset("/base_rates", **columns, model_mcse=[0.003] * n, model_paths=[20_000] * n, source=source)


def description(**changes: object) -> Description:
    """Describe the deal of the brief, as `forecast.deal.describe` does."""
    fields: dict[str, object] = {
        "title": "A settlement over Ukraine between the United States and Russia",
        "summary": "Washington and Moscow discuss a package: Russia withdraws nuclear weapons from Kaliningrad and "
        "troops from Transnistria and limits its arms exports; the United States limits its own arsenals in Eastern "
        "Europe, and Ukraine stays out of NATO. Ukraine is not at the table, but its signature is needed.",
        "as_of": AS_OF,
        "horizon": HORIZON,
        "parties": (
            ("United States", ("contain Russia without an endless war", "nuclear weapons out of Kaliningrad"),
             ("its own successor undoing it", "a promise it cannot verify")),
            ("Russia", ("keep its gains", "Ukraine out of NATO in writing"),
             ("giving up two real assets for an oral promise", "intrusive inspections")),
            ("Ukraine", ("remain a sovereign state",), ("signing away occupied territory",)),
        ),
        "clauses": (
            ("Nuclear withdrawal from Kaliningrad", "Russia", "Iskander missiles; deadline 24 months after signature."),
            ("Withdrawal from Transnistria", "Russia", "At least 1,500 soldiers; deadline 24 months after signature."),
            ("Limits on arms production and exports", "Russia", "Second exporter of the world; 2–3% of GDP."),
            ("Reciprocal limits in Eastern Europe", "United States", "The guarantee that Moscow asks in return."),
            ("Neutral status of Ukraine", "United States, Ukraine", "Oral and non-binding in the leak."),
        ),
        "sentences": (
            "Rounds are held every three months until the United States, Russia and Ukraine all accept the package.",
            "Once signed, fighting resumes at a rate that depends on the time since signature; each default raises it.",
        ),
        "diagram_svg": "",
        "not_covered": (
            "Events outside the listed causes: a wider war, a change of regime in Russia.",
            "Secret clauses, and anything said in the talks after the as-of date.",
            "Strategic timing: parties react by fixed probabilities, not by planning ahead.",
        ),
        "calendar": (
            (date(2025, 4, 15), "first round"),
            (date(2028, 3, 15), "last round"),
            (date(2028, 11, 7), "US presidency: election"),
            (date(2029, 1, 20), "US presidency: takes office"),
            (date(2032, 11, 2), "US presidency: election"),
            (date(2033, 1, 20), "US presidency: takes office"),
            (date(2026, 2, 5), "New START expires"),
            (date(2041, 2, 5), "beyond the horizon"),
        ),
        "refusals": {
            "us_decides/refuses": "United States",
            "russia_decides/refuses": "Russia",
            "ukraine_decides/refuses": "Ukraine",
        },
        "consequence_groups": (("Arms exports to India, Algeria and Egypt", UNIT, tuple(LOST), tuple(GAINED)),),
        "headline": (
            ("The package is signed", "state_probability", "signed", date(2027, 3, 15)),
            ("The deal is in force", "outcome_probability", "in_force", date(2030, 3, 15)),
            ("Fighting has resumed", "cumulative_incidence", "fighting_resumes", date(2030, 3, 15)),
            ("A new US administration has withdrawn", "cumulative_incidence", "us_withdrawal", HORIZON),
            ("The promise of neutrality has been reversed", "cumulative_incidence", "neutrality_reversed", HORIZON),
        ),
        "sources": (("article", "Newspaper report on the talks, March 2025. https://example.org/talks"),),
    }  # fmt: skip
    return Description(**(fields | changes))  # type: ignore[arg-type]


def health(**changes: object) -> Health:
    """A calibration that passed its gate."""
    fields: dict[str, object] = {
        "gate_passed": True,
        "problems": (),
        "worst_rhat": 1.004,
        "smallest_ess_bulk": 1480.0,
        "smallest_ess_tail": 1215.0,
        "divergences": 0,
        "bfmi": 0.87,
        "seconds": 47.2,
        "from_cache": True,
        "digest": "9d" * 32,
    }
    return Health(**(fields | changes))  # type: ignore[arg-type]


def sources() -> tuple[Source, ...]:
    """One row a parameter; the age-binned one has a single row for its three entries."""
    text = {
        "rate_signing": ("experts", "3 experts, March 2025: how often would all accept, per year of talks?"),
        "fighting_resumes": (
            "reference class fighting_resumes, transfer sd 0.3",
            "Interstate ceasefires that ended without victory are the nearest kin; the war was more intense than most.",
        ),
        "discount_rate": ("constant", "Undiscounted: stated in the deal file."),
    }
    rows = {}
    for name, label, unit, *_ in PARAMETERS:
        base = name.partition("[")[0]
        origin, why = text.get(base, ("reference class us_party_change, transfer sd 0.2", "Elections since 1900."))
        rows.setdefault(
            base, Source(parameter=base, label=label.partition(",")[0], unit=unit, origin=origin, source=why)
        )
    return tuple(rows.values())


def relabelled(tree: xr.DataTree, dim: str, labels: list[str]) -> xr.DataTree:
    """Copy `tree` with other labels of one dim."""
    other = tree.copy()
    other.dataset = other.to_dataset().assign_coords({f"{dim}_label": (dim, labels)})  # type: ignore[assignment]
    return other


def calibration_tree(seed: int = 3) -> tuple[xr.DataTree, dict[str, Parameter]]:
    """A calibration as PyMC leaves it, and its parameters: three rates, one by age, one constant."""
    rng = np.random.default_rng(seed)
    sample, before = ("chain", "draw"), ("chain", "draw")
    spread = {"family": "lognormal", "mu": -2.0, "sigma": 1.0}
    parameters = {
        f"rate_{x}": Parameter(
            id=f"rate_{x}", label=f"Rate {x}", unit="per year", distribution=spread, source="made up"
        )
        for x in "abc"
    }
    parameters["binned"] = Parameter(
        id="binned", label="Binned rate", unit="per year", distribution=spread, source="made up"
    )
    parameters["fixed"] = Parameter(id="fixed", label="A constant", unit="1", constant=0.5, source="made up")
    posterior = {f"rate_{x}": (sample, rng.lognormal(-2, 0.3, (4, 500))) for x in "abc"}
    posterior["binned"] = ((*sample, "binned__entry"), rng.lognormal(-2, 0.3, (4, 500, 3)))
    posterior["fixed"] = (sample, np.full((4, 500), 0.5))
    prior = {f"rate_{x}": (before, rng.lognormal(-2, 1, (1, 400))) for x in "abc"}
    prior["binned"] = ((*before, "binned__entry"), rng.lognormal(-2, 1, (1, 400, 3)))
    expected = rng.gamma(2, 3, 40)
    bins = {"binned__entry": ["0-1", "1-3", "3+"]}
    chains = {"chain": range(4), "draw": range(500)}
    groups = {
        "posterior": xr.Dataset(posterior, coords=chains | bins),
        "prior": xr.Dataset(prior, coords={"chain": [0], "draw": range(400)} | bins),
        "posterior_predictive": xr.Dataset(
            {"breakdown__events": ((*sample, "breakdown__row"), rng.poisson(expected, (4, 500, 40)))}, coords=chains
        ),
        "observed_data": xr.Dataset({"breakdown__events": ("breakdown__row", rng.poisson(expected))}),
        "sample_stats": xr.Dataset(
            {
                "energy": (sample, rng.normal(100, 5, (4, 500))),
                "diverging": (sample, np.zeros((4, 500), bool)),
            },
            coords=chains,
        ),
    }
    return xr.DataTree.from_dict(groups), parameters
