"""Dense linear algebra: decompositions, solvers, inverses."""

from __future__ import annotations

from math import prod
from typing import Any

from cnncost.frontends.torch.lowering.registry import Lowered, OpCall, lowers

_FUNCTIONS = {
    "linalg_lu_factor_ex": "lu", "linalg_lu": "lu", "_linalg_det": "det", "_linalg_slogdet": "det",
    "linalg_cholesky_ex": "cholesky", "cholesky": "cholesky", "linalg_inv_ex": "inverse", "linalg_qr": "qr",
    "_linalg_svd": "svd", "_linalg_eigh": "eigh", "linalg_eig": "eig", "linalg_ldl_factor_ex": "ldl",
    "cholesky_inverse": "inverse by cholesky",
}  # fmt: skip


def _linalg(fn: str, matrix: Any, batch: Any, k: int = 0, vectors: bool = False, full: bool = False) -> Lowered:
    """Lower to the kind `linalg`.

    Args:
        fn: name of the function.
        matrix: its shape, *,m,n.
        batch: sizes of the result's batch axes.
        k: number of right-hand sides or reflections.
        vectors: whether vectors or factors are computed, not only values.
        full: whether the factors are square, beyond those of the reduced form.
    """
    m, n = matrix[-2:]
    attrs = {"fn": fn, "m": m, "n": n, "matrices": prod(batch), "k": k, "vectors": vectors, "full": full}
    return "linalg", attrs


@lowers(*_FUNCTIONS)
def decomposition(call: OpCall) -> Lowered:
    """A: *,m,n. A decomposition, determinant or inverse."""
    vectors = bool(call.get("compute_uv", call.get("compute_v", True))) and call.get("mode") != "r"
    full = bool(call.get("full_matrices", False)) or call.get("mode") == "complete"
    shape = call.first("self", "A").shape
    return _linalg(_FUNCTIONS[call.name], shape, shape[:-2], vectors=vectors, full=full)


_WITHOUT_VECTORS = {"linalg_svdvals": "svd", "linalg_eigvalsh": "eigh", "linalg_eigvals": "eig",
                    "_linalg_eigvals": "eig", "geqrf": "qr"}  # fmt: skip
"""Ops that compute singular values or eigenvalues alone, and QR's triangle without the matrix Q (`geqrf`)."""


@lowers(*_WITHOUT_VECTORS)
def without_vectors(call: OpCall) -> Lowered:
    """self or A: *,m,n. Recorded whole: under a dispatch mode, the ops inside would compute vectors, too."""
    shape = call.first("self", "A").shape
    return _linalg(_WITHOUT_VECTORS[call.name], shape, shape[:-2])


def _is_vector(a: Any, b: Any) -> bool:
    """True if B is one right-hand side per matrix instead of a matrix of them."""
    return len(b) == 1 or (len(b) == len(a) - 1 and tuple(b) == tuple(a[:-1]))


@lowers("_linalg_solve_ex")
def solve(call: OpCall) -> Lowered:
    """A: *,n,n; B: *,n,k, or *,n for one right-hand side."""
    a, b = call["A"].shape, call["B"].shape
    vector = _is_vector(a, b)
    k = 1 if vector else b[-1] if call.get("left", True) else b[-2]
    solution = call.outputs[0].shape
    return _linalg("solve", a, solution[:-1] if vector else solution[:-2], k)


_SOLVERS = {
    "linalg_solve_triangular": ("triangle", "self"), "triangular_solve": ("triangle", "A"),
    "cholesky_solve": ("two triangles", "input2"), "linalg_lu_solve": ("two triangles", "LU"),
    "linalg_ldl_solve": ("two triangles", "LD"),
}  # fmt: skip
"""Triangular solvers: the function, and the argument with the triangles."""


@lowers(*_SOLVERS)
def triangles(call: OpCall) -> Lowered:
    """B: *,n,k; *,k,n if solved from the right. Batches broadcast."""
    fn, name = _SOLVERS[call.name]
    solution = call.outputs[0].shape
    k = solution[-1] if call.get("left", True) else solution[-2]
    return _linalg(fn, call[name].shape, solution[:-2], k)


@lowers("linalg_lstsq")
def least_squares(call: OpCall) -> Lowered:
    """self: *,m,n; b: *,m,k, or *,m. By QR, as LAPACK's gels and gelsy, or by SVD, as gelsd and gelss."""
    a, b = call["self"].shape, call["b"].shape
    k = 1 if _is_vector(a, b) else b[-1]
    fn = "least squares by svd" if call["driver"] in {"gelsd", "gelss"} else "least squares"
    return _linalg(fn, a, a[:-2], k)


@lowers("linalg_householder_product")
def reflections(call: OpCall) -> Lowered:
    """input: *,m,n; tau: *,k."""
    shape = call["input"].shape
    return _linalg("reflections", shape, shape[:-2], call["tau"].shape[-1])


@lowers("ormqr")
def reflected(call: OpCall) -> Lowered:
    """input3: *,m,n, multiplied by reflections from the left, or from the right without `left`; input2: *,k factors."""
    m, n = call["input3"].shape[-2:]
    matrix = (m, n) if call["left"] else (n, m)
    return _linalg("reflected", matrix, call.outputs[0].shape[:-2], call["input2"].shape[-1])


@lowers("linalg_pinv")
def pinv(call: OpCall) -> Lowered:
    """self: *,m,n."""
    *batch, m, n = call["self"].shape
    attrs = {"m": m, "n": n, "matrices": prod(batch), "hermitian": bool(call["hermitian"])}
    return "pinv", {**attrs, "scratch": prod(batch) * _pinv_scratch(call["self"], bool(call["hermitian"]))}


_TOLERANCE = 8
"""Bytes of the tolerance for each matrix, a float64."""


def _pinv_scratch(matrix: Any, hermitian: bool) -> int:
    """Bytes for each matrix while V·Σ⁺ is multiplied by Uᴴ: the decomposition, V·Σ⁺, and if complex a copy of Uᴴ."""
    m, n = matrix.shape[-2:]
    r = min(m, n)
    item, is_complex = matrix.element_size(), matrix.is_complex()
    real = item // 2 if is_complex else item
    vectors = n * n if hermitian else m * r + r * n
    conjugated = (n * n if hermitian else m * r) if is_complex else 0
    product = n * r  # V·Σ⁺
    values = 3 * n + 1 if hermitian else 2 * r  # Λ, |Λ|, reciprocals and the maximum; or Σ and its reciprocals
    return int((vectors + product + conjugated) * item + values * real + _TOLERANCE)
