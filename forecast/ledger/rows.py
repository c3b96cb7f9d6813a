"""Changes to experts.csv and seeds.csv that leave every other row as it stands in the file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from forecast.deal.experts import level_of
from forecast.deal.sheet import Row, Sheet, sheet_line
from forecast.ledger.cells import same_text

type Key = tuple[str, ...]
type Cells = Mapping[str, str]


@dataclass(frozen=True)
class Rewritten:
    """The new text of a file, and a line for each change; the text is None where nothing is changed."""

    text: str | None
    changes: tuple[str, ...]


def rewritten(
    sheet: Sheet, wanted: Mapping[Key, Cells], columns: Sequence[str], key: Callable[[Cells], Key]
) -> Rewritten:
    """Return a CSV file with the rows that are wanted.

    Rows keep their order and, where they are not changed, their text; a new one follows the last one of
    the same question, and goes to the end where there is none.

    Parameters
    ----------
    wanted
        Key of a row → its cells.
    columns
        All that the rows have; those that the file lacks are added to it.
    key
        Gives a row's key from its cells; the first part is its question.
    """
    present = {key(row.cells): row for row in sheet.rows}
    kept = [c for c in sheet.columns if c] or list(columns)
    header = _with_quantiles(kept, [c for c in columns if c not in kept])
    changes = list(_changes(present, wanted))
    if not changes:
        return Rewritten(None, ())
    end = _line_end(sheet.head)
    lines: list[tuple[str, str]] = []  # question, text
    for k, row in present.items():
        if k in wanted:
            same = header == list(sheet.columns) and all(
                same_cell(c, wanted[k].get(c, ""), x) for c, x in row.cells.items()
            )
            lines.append((k[0], row.text if same else _line(row.cells, wanted[k], header, sheet.delimiter, end)))
    for k, cells in wanted.items():
        if k not in present:
            last = max((n for n, (question, _) in enumerate(lines) if question == k[0]), default=len(lines) - 1)
            lines.insert(last + 1, (k[0], _line({}, cells, header, sheet.delimiter, end)))
    head = sheet.head if header == list(sheet.columns) else sheet_line(header, sheet.delimiter, end)
    whole = [t if t.endswith(("\n", "\r")) else t + end for t in (head, *(text for _, text in lines))]
    return Rewritten("".join(whole), tuple(changes))


def same_cell(column: str, cell: str, text: str) -> bool:
    """Whether a cell says what stands in the file: the same number, or the same text."""
    if level_of(column) is not None or column == "answer":
        try:
            return float(cell) == float(text)
        except ValueError:
            pass
    return same_text(cell, text)


def _changes(present: Mapping[Key, Row], wanted: Mapping[Key, Cells]) -> list[str]:
    said = []
    for k, cells in wanted.items():
        name = ", ".join(k)
        if k not in present:
            said.append(f"{name}: added")
            continue
        old = present[k].cells
        for c, x in cells.items():
            if not same_cell(c, x, old.get(c, "")):
                said.append(f"{name}: {c}: {old.get(c, '') or 'empty'} → {x or 'empty'}")
    return said + [f"{', '.join(k)}: taken out" for k in present if k not in wanted]


def _line(old: Cells, new: Cells, header: Sequence[str], delimiter: str, end: str) -> str:
    """Write a row; a cell that says the same keeps its text."""
    cells = (old[c] if c in old and same_cell(c, new.get(c, ""), old[c]) else new.get(c, "") for c in header)
    return sheet_line(cells, delimiter, end)


def _with_quantiles(header: Sequence[str], more: Sequence[str]) -> list[str]:
    """Put new quantile columns among the others by their level; other columns go to the end."""
    result = list(header)
    for column in more:
        level = level_of(column)
        if level is None:
            result.append(column)
            continue
        after = [n for n, c in enumerate(result) if (other := level_of(c)) is not None and other < level]
        first = [n for n, c in enumerate(result) if level_of(c) is not None]
        place = after[-1] + 1 if after else first[0] if first else len(result)
        result.insert(place, column)
    return result


def _line_end(head: str) -> str:
    return "\r\n" if head.endswith("\r\n") else "\n"
