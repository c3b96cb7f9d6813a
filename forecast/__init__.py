"""Monte Carlo risk and outcome forecasts for negotiated deals.

The few calls that most people need are here; importing the package itself is quick, each call imports
what it needs when it is first looked up.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# The same seed gives different draws with a cold and a warm compile cache unless fast-math is off;
# both settings must be made before PyTensor or Prefect is first imported.
os.environ.setdefault("PYTENSOR_FLAGS", "numba__fastmath=False")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

if TYPE_CHECKING:
    from forecast.conditions import given
    from forecast.deal.scenario import Scenario
    from forecast.frontiers import frontier
    from forecast.inputs import Inputs, load
    from forecast.pipeline import (
        RunResult,
        RunSettings,
        diagnose_run,
        list_runs,
        open_run,
        replay_path,
        run_forecast,
        verify_run,
        write_run_report,
    )
    from forecast.scenarios import whatif
    from forecast.sweeping import run_sweep

_HOME = {
    "Inputs": "forecast.inputs",
    "Scenario": "forecast.deal.scenario",
    "frontier": "forecast.frontiers",
    "given": "forecast.conditions",
    "load": "forecast.inputs",
    "run_sweep": "forecast.sweeping",
    "whatif": "forecast.scenarios",
}

__all__ = [
    "Inputs",
    "RunResult",
    "RunSettings",
    "Scenario",
    "diagnose_run",
    "frontier",
    "given",
    "list_runs",
    "load",
    "open_run",
    "replay_path",
    "run_forecast",
    "run_sweep",
    "verify_run",
    "whatif",
    "write_run_report",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'forecast' has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "forecast.pipeline")), name)
