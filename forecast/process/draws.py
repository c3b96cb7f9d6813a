"""Posterior draws of every parameter, as the compiler wants them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from forecast.errors import DealFileError
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

    def held(self, fixed: Mapping[str, float]) -> "Draws":
        """Hold some parameters at one value in every draw.

        Raises
        ------
        DealFileError
            One line for each that has several entries.
        """
        several = [name for name in fixed if self.values[name].ndim > 1]
        if several:
            lines = (f"{n}: has several entries (age bins or shares) and cannot be held at one value" for n in several)
            raise DealFileError("\n".join(lines))
        return replace(self, values={**self.values, **{n: np.full(self.n_draw, v) for n, v in fixed.items()}})
