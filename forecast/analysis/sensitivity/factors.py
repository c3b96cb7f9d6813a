"""What may drive a headline: single numbers, whole parameters, and groups by source, party, clause or office."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from forecast.deal.check_numbers import references
from forecast.deal.model import Deal
from forecast.errors import ForecastError
from forecast.types import F64

PARAMETER, ENTRY, ALL = "parameter", "entry", "all"
# Tables of the deal file whose entries make a group, and what one of them is called.
TABLES = {
    "parties": "party",
    "clauses": "clause",
    "promises": "promise",
    "elections": "election",
    "leaders": "leader",
    "breakdowns": "breakdown",
    "markets": "market",
    "consequences": "consequence",
}
WHOLE = {"negotiation": "The talks", "verification": "Verification", "cascades": "Cascades"}


type Sources = tuple[tuple[str, str], ...]  # kind and name of each


@dataclass(frozen=True)
class Factor:
    """One number, or several together.

    members: columns of `Numbers.values`; kind: parameter (a whole one), entry (one number of several), class,
    experts, distribution, party, clause, …, all
    """

    id: str
    label: str
    kind: str
    unit: str
    members: tuple[int, ...]
    source: str = ""

    @property
    def single(self) -> bool:
        """Whether it is one number."""
        return len(self.members) == 1


@dataclass(frozen=True)
class Numbers:
    """The uncertain numbers of a run: values (draw, number), with their names; constants are left out."""

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    units: tuple[str, ...]
    values: F64


def numbers_of(tree: xr.DataTree) -> Numbers:
    """Read the parameters of a run that differ between draws.

    Raises
    ------
    ForecastError
        Every one is a constant.
    """
    values = np.asarray(tree["parameters"].transpose("draw", "parameter").to_numpy(), np.float64)
    varies = np.flatnonzero(np.ptp(values, axis=0) > 0.0)
    if not varies.size:
        raise ForecastError(
            "every parameter of this run is a constant: there is nothing that one could find out. Give parameters a "
            "reference class, experts or a distribution, and run the deal again"
        )
    texts = [
        [str(t) for t in tree[name].to_numpy()[varies]] for name in ("parameter", "parameter_label", "parameter_unit")
    ]
    return Numbers(tuple(texts[0]), tuple(texts[1]), tuple(texts[2]), values[:, varies])


def factors_of(numbers: Numbers, deal: Deal | None = None) -> tuple[Factor, ...]:
    """List every number, every parameter with several, and the groups that a deal file makes of them.

    Without the deal there are no groups but that of all numbers. A group with the same members as an earlier
    factor, or with no uncertain number, is left out.
    """
    by_name: dict[str, list[int]] = {}
    for k, id_ in enumerate(numbers.ids):
        by_name.setdefault(id_.partition("[")[0], []).append(k)
    sources = dict(_sources(deal)) if deal else {}
    found = []
    for name, members in by_name.items():
        source = _in_words(sources.get(name, ()))
        several = len(members) > 1
        for k in members:
            kind = ENTRY if several else PARAMETER
            found.append(Factor(numbers.ids[k], numbers.labels[k], kind, numbers.units[k], (k,), source))
        if several:
            label = deal.file.parameters[name].label if deal and name in deal.file.parameters else name
            found.append(Factor(name, label, PARAMETER, "", tuple(members), source))
    groups = [*_groups_by_source(sources), *(_groups_by_table(deal) if deal else ())]
    seen = {f.members for f in found} | {tuple(range(len(numbers.ids)))}
    for id_, label, kind, names in groups:
        together = tuple(sorted({k for n in names for k in by_name.get(n, ())}))
        if together and together not in seen:
            seen.add(together)
            found.append(Factor(f"{kind}:{id_}", label, kind, "", together))
    found.append(Factor("all:parameters", "All parameters together", ALL, "", tuple(range(len(numbers.ids)))))
    return tuple(found)


def _sources(deal: Deal) -> Iterator[tuple[str, Sources]]:
    """For each parameter the kind and name of every source that it rests on."""
    experts: dict[str, list[str]] = {}
    for row in deal.experts:
        names = experts.setdefault(row.question, [])
        if row.expert not in names:
            names.append(row.expert)
    for name, p in deal.file.parameters.items():
        found = [("class", r.reference) for r in p.rests_on]
        if p.experts is not None:
            found.append(("experts", ", ".join(experts.get(p.experts, ())) or p.experts))
        if p.distribution is not None:
            found.append(("distribution", "stated"))
        yield name, tuple(dict.fromkeys(found))


def _in_words(sources: Sources) -> str:
    words = {"class": "reference class {}", "experts": "elicited: {}", "distribution": "a stated distribution"}
    return "; ".join(words[kind].format(who) for kind, who in sources)


def _groups_by_source(sources: Mapping[str, Sources]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Group parameters by what they rest on; one that rests on several belongs to each."""
    words = {"class": "Reference class {}", "experts": "Elicited from {}", "distribution": "Stated distributions"}
    for key in dict.fromkeys(source for found in sources.values() for source in found):
        kind, who = key
        yield who, words[kind].format(who), kind, [n for n, found in sources.items() if key in found]


def _groups_by_table(deal: Deal) -> Iterator[tuple[str, str, str, list[str]]]:
    """Group parameters by the party, clause, election … that uses them.

    A party's value of a clause counts with both.
    """
    by_place: dict[tuple[str, str], list[str]] = {}
    for key, reference, _ in references(deal.file):
        parts = key.split(".")
        for place in _places(parts, deal.file.promises):
            by_place.setdefault(place, []).append(reference.partition("[")[0])
    for (table, id_), used in by_place.items():
        if table in WHOLE:
            yield table, WHOLE[table], "part", used
            continue
        entry = getattr(deal.file, table)[id_]
        label = next((str(t) for t in (getattr(entry, a, None) for a in _TITLES) if t), id_)
        yield id_, f"{TABLES[table].capitalize()}: {label}", TABLES[table], used


_TITLES = ("name", "title", "office", "cause_label", "label")


def _places(parts: Sequence[str], promises: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Tables and entries that a key of the deal file belongs to."""
    if parts[0] in WHOLE:
        yield parts[0], ""
    elif parts[0] in TABLES and len(parts) > 1:
        yield parts[0], parts[1]
        if parts[0] == "parties" and len(parts) > 3 and parts[2] == "values":
            yield "promises" if parts[3] in promises else "clauses", parts[3]
