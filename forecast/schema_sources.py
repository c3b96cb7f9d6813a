"""Variables of what each source says, declared for `schema`: name -> (dims, dtype, unit, name, meaning, coord)."""

from collections.abc import Mapping

type Declared = tuple[tuple[str, ...], str, str, str, str, bool]

_SAYS, _EFFECT = ("statement",), ("statement", "headline_label")

# The group `/sources` of a forecast: each number of the deal as its prior, each source and all together have it.
SOURCES: Mapping[str, Declared] = {
    "headline_label": (("headline_label",), "U", "", "headline probability", "label from the deal file", True),
    "statement_parameter": (_SAYS, "U", "", "parameter", "id in the deal file", False),
    "statement_entry": (_SAYS, "U", "", "entry of the parameter", "age bin, category; empty for one number", False),
    "statement_kind": (_SAYS, "U", "", "kind of statement", "prior, class, expert, experts or posterior", False),
    "statement_source": (_SAYS, "U", "", "who says so", "reference class or expert; empty for others", False),
    "statement_lower": (_SAYS, "f8", "1", "5% quantile", "in the unit of the parameter", False),
    "statement_median": (_SAYS, "f8", "1", "median", "in the unit of the parameter", False),
    "statement_upper": (_SAYS, "f8", "1", "95% quantile", "in the unit of the parameter", False),
    "statement_weight": (
        _SAYS, "f8", "1", "weight of the source",
        "its share of the precision on the link scale, its transfer term included; NaN for prior and posterior", False,
    ),
    "statement_effect": (
        _EFFECT, "f8", "1", "effect on the headline",
        "change of the probability were the parameter where the source has it; linear, on the link scale", False,
    ),
    "statement_effect_error": (_EFFECT, "f8", "1", "standard error of the effect", "of the regression", False),
    "statement_swing": (
        _EFFECT, "f8", "1", "swing of the headline",
        "its change while the parameter goes from the 5% to the 95% quantile of this statement; linear", False,
    ),
    "statement_distance": (
        _SAYS, "f8", "1", "distance from the posterior",
        "of the means on the link scale, in posterior sd; of several entries the root mean square", False,
    ),
}  # fmt: skip
