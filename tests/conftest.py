import os

from hypothesis import settings

# Kernels compile on first use, which no deadline survives; one fixed seed for every property test.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
