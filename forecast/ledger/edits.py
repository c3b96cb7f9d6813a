"""Changes to deal.toml that leave its comments and its layout as they are."""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import Table

from forecast.errors import DealFileError


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Put dotted keys together again; numbers among them are places of a list.

    >>> nested({"a": 1.0, "b.c": "x", "d.0.e": 2.0, "d.2.e": 3.0})
    {'a': 1.0, 'b': {'c': 'x'}, 'd': {'0': {'e': 2.0}, '2': {'e': 3.0}}}
    """
    result: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        here = result
        for step in path:
            below = here.setdefault(step, {})
            if not isinstance(below, dict):
                raise ValueError(f"{key}: {step!r} is a value already, and has no keys below it")  # noqa: TRY004  # it is a table's text that is wrong
            here = below
        here[last] = value
    return result


def edited(text: str, tables: Mapping[tuple[str, ...], Mapping[str, Any]]) -> str:
    """Return the text of a deal file in which each table, given by its path, says what is wanted.

    Parameters
    ----------
    tables
        Path of a table → what it is to hold, as `nested` has it.

    Raises
    ------
    DealFileError
        The layout is one that cannot be kept; nothing is lost.
    """
    before = tomllib.loads(text)
    wanted = deepcopy(before)
    document = tomlkit.parse(text)
    for path, table in tables.items():
        for root, make in ((wanted, dict), (document, tomlkit.inline_table)):
            _reconcile(_at(root, path, dict if root is wanted else tomlkit.table), table, make)
    result = tomlkit.dumps(document)
    if tomllib.loads(result) != wanted or tomlkit.dumps(tomlkit.parse(text)) != text:
        raise DealFileError("deal.toml: its layout is too unusual to be kept; change the numbers in the file itself")
    return result


def _at(root: Any, path: tuple[str, ...], make: Callable[[], Any]) -> Any:
    for step in path:
        if step not in root:
            if isinstance(root, TOMLDocument):
                root.add(tomlkit.nl())
            root[step] = make()
        root = root[step]
    return root


def _reconcile(here: Any, wanted: Mapping[str, Any], make: Callable[[], Any]) -> None:
    """Change a table or a list of tables in place; what is as wanted is not touched."""
    present = {str(n): v for n, v in enumerate(here)} if isinstance(here, list) else dict(here)
    for key, value in wanted.items():
        old = present.get(key)
        if isinstance(value, dict) and (isinstance(old, dict) or (_is_list(value) and _holds_tables(old))):
            _reconcile(old, value, make)
        elif key not in present or isinstance(value, dict) or not _same(old, value):
            _put(here, key, _made(value, make))
    for key in reversed([k for k in present if k not in wanted]):
        del here[int(key) if isinstance(here, list) else key]


def _put(here: Any, key: str, value: Any) -> None:
    if isinstance(here, list):
        here.append(value)
    elif key in here or not isinstance(here, Table):
        here[key] = value
    else:
        with _before_the_gap(here):
            here[key] = value


class _before_the_gap:  # noqa: N801  # reads as a word
    """Take off what follows the last key of a table (empty lines, the comment over the next), then put it back."""

    def __init__(self, table: Table) -> None:
        self.body = table.value.body
        self.gap: list[Any] = []

    def __enter__(self) -> None:
        while self.body and self.body[-1][0] is None:
            self.gap.insert(0, self.body.pop())

    def __exit__(self, *_: object) -> None:
        self.body.extend(self.gap)


def _made(value: Any, make: Callable[[], Any]) -> Any:
    """Build a new table; one whose keys are numbers is a list of tables."""
    if not isinstance(value, dict):
        return value
    if _is_list(value):
        return [_made(v, make) for v in value.values()]
    table = make()
    for k, v in value.items():
        table[k] = _made(v, make)
    return table


def _is_list(wanted: Mapping[str, Any]) -> bool:
    """Whether the keys are places of a list."""
    return bool(wanted) and all(k.isdigit() for k in wanted)


def _holds_tables(old: Any) -> bool:
    return isinstance(old, list) and all(isinstance(x, dict) for x in old)


def _same(old: Any, new: Any) -> bool:
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> Iterator[str]:
    """Say which keys are changed, added and taken out."""
    for key, value in new.items():
        if key not in old:
            yield f"{name}.{key}: added: {value!r}"
        elif not _same(old[key], value):
            yield f"{name}.{key}: {old[key]!r} → {value!r}"
    for key, value in old.items():
        if key not in new:
            yield f"{name}.{key}: taken out (was {value!r})"
