"""Posterior draws of every parameter, as the compiler wants them."""

from collections.abc import Mapping
from dataclasses import dataclass

from forecast.types import F64


@dataclass(frozen=True)
class Draws:
    """One value a parameter and draw; entry d of every array belongs to the same posterior draw.

    values: parameter -> (draw,) for a number, (draw, entry) for age bins or shares
    edges: parameter with age bins -> (bin + 1,) years of age, from 0, the last one infinite
    labels: parameter with named entries -> their names, in order
    units: parameter -> unit ("1", "1/year", "log ratio", "TIV million / year", ...)
    """

    values: Mapping[str, F64]
    edges: Mapping[str, F64]
    labels: Mapping[str, tuple[str, ...]]
    units: Mapping[str, str]

    @property
    def n_draw(self) -> int:
        """Number of draws."""
        return len(next(iter(self.values.values())))
