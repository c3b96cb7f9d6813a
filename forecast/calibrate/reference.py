"""Reference classes: read, checked, cut at the as-of date. Quick to import: csv and numpy only.

A class is a folder `priors/reference/<id>/` with class.toml (`classfile`) and one table. Every row
carries the date on which it was known; only what was known by the as-of date enters a calibration.
"""

from forecast.calibrate.check import check_parameters
from forecast.calibrate.loader import class_ids, load_class
from forecast.calibrate.records import Kind, Prior, Record, Table
from forecast.calibrate.reference_class import ReferenceClass, build_class

__all__ = [
    "Kind",
    "Prior",
    "Record",
    "ReferenceClass",
    "Table",
    "build_class",
    "check_parameters",
    "class_ids",
    "load_class",
]
