"""Every kind of model that simulation-based calibration goes through."""

from collections.abc import Mapping

from forecast.calibrate.sbc.cases import CASES as SINGLE
from forecast.calibrate.sbc.cases import Case
from forecast.calibrate.sbc.joined import JOINED

CASES: Mapping[str, Case] = {**SINGLE, **JOINED}
