"""Dense linear algebra: decompositions, solvers, inverses."""

from __future__ import annotations

from cnncost.frontends.torch.lowering.registry import Lowered, OpCall, lowers

_FUNCTIONS = {
    "linalg_lu_factor_ex": "lu", "linalg_lu": "lu", "_linalg_det": "det", "_linalg_slogdet": "det",
    "linalg_cholesky_ex": "cholesky", "cholesky": "cholesky", "linalg_inv_ex": "inverse", "linalg_qr": "qr",
    "_linalg_svd": "svd", "_linalg_eigh": "eigh", "linalg_eig": "eig",
}  # fmt: skip


@lowers(*_FUNCTIONS)
def decomposition(call: OpCall) -> Lowered:
    """A: *,m,n."""
    vectors = bool(call.get("compute_uv", call.get("compute_v", True))) and call.get("mode") != "r"
    full = bool(call.get("full_matrices", False)) or call.get("mode") == "complete"
    return "linalg", {"fn": _FUNCTIONS[call.name], "k": 0, "vectors": vectors, "full": full}


_VALUES = {"linalg_svdvals": "svd", "linalg_eigvalsh": "eigh", "linalg_eigvals": "eig"}


@lowers(*_VALUES)
def values_alone(call: OpCall) -> Lowered:
    """Whole: by its parts, torch would compute the vectors too, for a dispatch mode may want their derivative."""
    return "linalg", {"fn": _VALUES[call.name], "k": 0, "vectors": False, "full": False}


@lowers("_linalg_solve_ex")
def solve(call: OpCall) -> Lowered:
    """A: *,n,n; B: *,n,k, or *,n for one right side."""
    a, b = call["A"].shape, call["B"].shape
    one = len(b) == 1 or (len(b) == len(a) - 1 and tuple(b) == tuple(a[:-1]))
    k = 1 if one else b[-1] if call.get("left", True) else b[-2]
    return "linalg", {"fn": "solve", "k": k, "vectors": False, "full": False}


@lowers("linalg_lstsq")
def least_squares(call: OpCall) -> Lowered:
    """A: *,m,n; B: *,m,k, or *,m for one right side."""
    a, b = call["self"].shape, call["b"].shape
    values = (call.get("driver") or "gelsy") in {"gelsd", "gelss"}
    fn = "least squares by singular values" if values else "least squares"
    return "linalg", {"fn": fn, "k": b[-1] if len(b) == len(a) else 1, "vectors": False, "full": False}


@lowers("_embedding_bag_backward", "_embedding_bag_dense_backward")
def bag_backward(call: OpCall) -> Lowered:
    """grad: B,D; indices: I. Each looked-up row gets its bag's gradient added."""
    elements = call["indices"].numel() * call["grad"].shape[-1]
    return "scatter", {"fn": call.name, "accumulate": True, "elements": elements}
