"""How every kernel is compiled."""

from typing import Any

from numba import njit

# Kernels allocate nothing and keep nothing, so they need no reference counting: with it, passing a program's
# arrays from function to function costs more than the simulation. `_nrt` is not a documented option of numba;
# numba is pinned to one version, and tests/unit/test_simulate.py compares results with the compiler off.
OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}
# Functions that only kernels call need no entrance from Python; the entrances of functions with this many
# arrays take longer to compile than the functions themselves.
INNER: dict[str, Any] = {**OPTIONS, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}

kernel = njit(**OPTIONS, _nrt=False)
inner = njit(**INNER)
# Too large for the compiler to put into its only caller by itself; a call would push every array's seven words.
inlined = njit(**INNER, forceinline=True)
allocating_kernel = njit(**OPTIONS)
