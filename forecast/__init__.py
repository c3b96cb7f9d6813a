"""Monte Carlo risk and outcome forecasts for negotiated deals."""

import os

# The same seed gives different draws with a cold and a warm compile cache unless fast-math is off;
# both settings must be made before PyTensor or Prefect is first imported.
os.environ.setdefault("PYTENSOR_FLAGS", "numba__fastmath=False")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
