"""Variables of the checks of a calibration, for `schema`: name -> (dims, dtype, unit, name, meaning, coord)."""

from collections.abc import Mapping

type Declared = tuple[tuple[str, ...], str, str, str, str, bool]

_CLASS, _BOTH, _PIT, _SENSE = ("reference_class",), ("reference_class", "statistic"), ("pit",), ("sensitivity",)

# The group `/checks` of a forecast: how the fit stands against its data, class by class.
CHECKS: Mapping[str, Declared] = {
    "reference_class": (_CLASS, "U", "", "reference class", "or “experts”, or “<parameter>: agreement”", True),
    "statistic": (("statistic",), "U", "", "discrepancy", "total, chi_squared, largest_residual, zeros", True),
    "kind": (_CLASS, "U", "", "kind of data", "rates, binomial, multinomial, survival, experts, agreement", False),
    "cells": (_CLASS, "i8", "1", "cells of the class's table", "cells with data; cases of a survival class", False),
    "observed": (
        _CLASS, "f8", "1", "what was observed in all",
        "sum over the class's cells; of a table of categories, that of the first category", False,
    ),
    "predicted_lower": (_CLASS, "f8", "1", "5% quantile of its posterior prediction", "of `observed`", False),
    "predicted_upper": (_CLASS, "f8", "1", "95% quantile of its posterior prediction", "of `observed`", False),
    "expected_lower": (_CLASS, "f8", "1", "5% quantile of its prior prediction", "of `observed`", False),
    "expected_upper": (_CLASS, "f8", "1", "95% quantile of its prior prediction", "of `observed`", False),
    "posterior_p": (
        _BOTH, "f8", "1", "posterior predictive p-value",
        "mid-p; two-sided for total and zeros, upper tail for the others; NaN where it says nothing", False,
    ),
    "prior_p": (_CLASS, "f8", "1", "prior predictive p-value", "of `observed`, two-sided mid-p; NaN without", False),
    "elpd_loo": (_CLASS, "f8", "1", "expected log predictive density", "leave-one-cell-out, by PSIS", False),
    "p_loo": (_CLASS, "f8", "1", "effective number of parameters", "log density of the fit less `elpd_loo`", False),
    "high_pareto_k": (_CLASS, "i8", "1", "cells with Pareto k above 0.7", "for which PSIS-LOO is unreliable", False),
    "pit_p": (_CLASS, "f8", "1", "p-value of uniform LOO-PIT values", "NaN with fewer than 5 reliable cells", False),
    "verdict": (_CLASS, "U", "", "verdict", "passes, look or fails", False),
    "pit_class": (_PIT, "U", "", "reference class of a cell", "one of `reference_class`", False),
    "pit_cell": (_PIT, "U", "", "cell", "label of the cell within its class", False),
    "pit_lower": (_PIT, "f8", "1", "LOO P(prediction < observed)", "the PIT value lies between lower and upper", False),
    "pit_upper": (_PIT, "f8", "1", "LOO P(prediction <= observed)", "equals the lower one for continuous data", False),
    "pareto_k": (_PIT, "f8", "1", "Pareto k of the cell", "above 0.7 its PIT and density are unreliable", False),
    "sensitivity_parameter": (_SENSE, "U", "", "number of the deal", "parameter, with its entry in brackets", False),
    "sensitivity_class": (_SENSE, "U", "", "class whose part is scaled", "one of `reference_class`", False),
    "prior_sensitivity": (
        _SENSE, "f8", "1", "power-scaling sensitivity to the class's prior",
        "gradient of the cumulative Jensen–Shannon distance (Kallioinen et al. 2024); above 0.05 it matters", False,
    ),
    "likelihood_sensitivity": (
        _SENSE, "f8", "1", "power-scaling sensitivity to the class's data", "the same, for its likelihood", False,
    ),
    "diagnosis": (
        _SENSE, "U", "", "diagnosis in words",
        "empty, “prior-data conflict” (both above 0.05) or “strong prior / weak likelihood”", False,
    ),
}  # fmt: skip

# What `forecast verify calibration` writes for each kind of model.
RANKS: Mapping[str, Declared] = {
    "quantity": (("quantity",), "U", "", "ranked number", "free or derived, its entry in brackets", True),
    "rank": (
        ("dataset", "quantity"), "i8", "1", "rank of the truth",
        "among 99 thinned posterior draws: 0 if below all of them", False,
    ),
    "truth": (("dataset", "quantity"), "f8", "1", "value that made the data", "drawn from the prior", False),
    "posterior_mean": (("dataset", "quantity"), "f8", "1", "posterior mean", "of all draws", False),
    "posterior_sd": (("dataset", "quantity"), "f8", "1", "posterior standard deviation", "of all draws", False),
    "divergences": (("dataset",), "i8", "1", "divergent draws", "of the last attempt", False),
    "attempts": (("dataset",), "i8", "1", "attempts", "until no draw diverged and enough were independent", False),
    "enough_draws": (("dataset",), "bool", "1", "whether enough draws were independent", "R-hat and bulk ESS", False),
}  # fmt: skip
