"""The age bins of a parameter that rests on several classes: every edge that one of them has. Quick to import."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from forecast.calibrate.reference_class import ReferenceClass
from forecast.types import F64


def common_ages(classes: Sequence[ReferenceClass]) -> tuple[F64, tuple[str, ...]]:
    """Edges (bin + 1,), years, from 0 to infinity, and labels (bin,); all classes have age bins.

    A class whose bin spans several of these says the same of each.
    """
    edges = np.unique(np.concatenate([c.age_edges for c in classes if c.age_edges is not None]))
    for c in classes:
        if c.age_edges is not None and len(c.age_edges) == len(edges):
            return c.age_edges, c.age_labels
    labels = [f"{a:g}-{b:g}" for a, b in pairwise(edges[:-1])]
    return edges, (*labels, f"{edges[-2]:g}+")
