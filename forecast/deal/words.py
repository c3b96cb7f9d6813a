"""Hints for people who mistype."""

from collections.abc import Iterable
from difflib import get_close_matches


def closest(name: str, known: Iterable[str], what: str) -> str:
    """Say which known name was meant, or which there are."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"{what}: {', '.join(sorted(names)) or 'none'}"
