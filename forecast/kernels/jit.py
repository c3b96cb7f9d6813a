"""How every kernel is compiled."""

from typing import Any

from numba import njit

# Kernels allocate nothing and keep nothing, so they need no reference counting: with it, passing a program's
# arrays from function to function costs more than the simulation. `_nrt` is not a documented option of numba;
# numba is pinned to one version, and tests/unit/test_kernels.py compares results with the compiler off.
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}

kernel = njit(**OPTIONS, _nrt=False)
allocating_kernel = njit(**OPTIONS)
