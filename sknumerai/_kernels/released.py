"""BLAS and LAPACK routines of scipy that release the interpreter lock, so that threads help.

Those of ``scipy.linalg.blas`` and ``lapack`` hold it: of two threads one would wait. The same
routines, with the same bits as result, are called here by their addresses, which scipy publishes
for C.
"""

from __future__ import annotations

import ctypes
from importlib import import_module
from typing import Any

import numpy as np

from sknumerai._typing import Array


class _Routine:
    """A routine all of whose arguments are pointers, as in Fortran.

    Parameters
    ----------
    module, name : str
        Of those that scipy publishes for C.
    """

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name
        capsule = import_module(module).__pyx_capi__[name]
        name_of = ctypes.pythonapi.PyCapsule_GetName
        address_of = ctypes.pythonapi.PyCapsule_GetPointer
        name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
        address_of.restype = ctypes.c_void_p
        address_of.argtypes = [ctypes.py_object, ctypes.c_char_p]
        signature = name_of(capsule)
        types = [ctypes.c_void_p] * (signature.count(b",") + 1)
        self._call = ctypes.CFUNCTYPE(None, *types)(address_of(capsule, signature))

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return _Routine, (self.module, self.name)  # addresses are of a process

    def __call__(self, *arguments: Any) -> None:
        self._call(*arguments)


SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_BLAS, _LAPACK = "scipy.linalg.cython_blas", "scipy.linalg.cython_lapack"
_SYRK = {SINGLE: _Routine(_BLAS, "ssyrk"), DOUBLE: _Routine(_BLAS, "dsyrk")}
_POTRF = {SINGLE: _Routine(_LAPACK, "spotrf"), DOUBLE: _Routine(_LAPACK, "dpotrf")}


def syrk(matrix: Array, *, lower: bool, trans: bool = True) -> Array:
    """AᵀA, or AAᵀ, of a column-major matrix: one triangle, zeros in the other.

    Parameters
    ----------
    matrix : ndarray of shape (n, k), float32 or float64, column-major
        Not empty, finite.
    lower : bool
        Which triangle.
    trans : bool
        Whether it is AᵀA.
    """
    inner, k = matrix.shape if trans else matrix.shape[::-1]
    out = np.zeros((k, k), dtype=matrix.dtype, order="F")
    one, zero = np.ones(1, matrix.dtype), np.zeros(1, matrix.dtype)
    _SYRK[matrix.dtype](
        ctypes.byref(ctypes.c_char(b"L" if lower else b"U")),
        ctypes.byref(ctypes.c_char(b"T" if trans else b"N")),
        ctypes.byref(ctypes.c_int(k)),
        ctypes.byref(ctypes.c_int(inner)),
        one.ctypes.data,
        matrix.ctypes.data,
        ctypes.byref(ctypes.c_int(len(matrix))),
        zero.ctypes.data,
        out.ctypes.data,
        ctypes.byref(ctypes.c_int(k)),
    )
    return out


def potrf(matrix: Array) -> int:
    """Put the Cholesky factor of a positive definite matrix into its lower triangle.

    Parameters
    ----------
    matrix : ndarray of shape (k, k), float32 or float64, column-major
        Not empty, finite. Overwritten.

    Returns
    -------
    info : int
        0, or the order of the first leading minor that is not positive.
    """
    order, info = ctypes.c_int(len(matrix)), ctypes.c_int()
    _POTRF[matrix.dtype](
        ctypes.byref(ctypes.c_char(b"L")),
        ctypes.byref(order),
        matrix.ctypes.data,
        ctypes.byref(order),
        ctypes.byref(info),
    )
    return info.value
