"""How every kernel is compiled."""

from typing import Any

from numba import njit

# Kernels allocate nothing and keep nothing, so they need no reference counting: with it, passing a program's
# arrays from function to function costs more than the simulation. `_nrt` is not a documented option of numba;
# numba is pinned to one version, and tests/unit/test_simulate.py compares results with the compiler off.
# Nothing in C calls a kernel; an entrance for functions with this many arrays takes longer to compile than they do.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
# Functions that only kernels call need no entrance from Python either, and are kept as parts of those kernels.
INNER: dict[str, Any] = {**OPTIONS, "no_cpython_wrapper": True}

kernel = njit(**OPTIONS, cache=True)
inner = njit(**INNER)
# Too large for the compiler to put into its only caller by itself; a call would push every array's seven words.
inlined = njit(**INNER, forceinline=True)
