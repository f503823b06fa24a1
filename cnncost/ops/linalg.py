"""Dense linear algebra by textbook counts: leading terms, as in LAPACK's own benchmarks.

Ref: Golub & Van Loan 2013, Matrix Computations, 4th edition; Blackford & Dongarra, LAPACK Working Note 41, appendix C.
Counts are FLOPs, not MACs, except for the product in a pseudoinverse; complex numbers count four times as much.
"""

from __future__ import annotations

from collections.abc import Callable

from cnncost.graph import OpSpec
from cnncost.ops.kinds import kind, one, rest
from cnncost.ops.registry import Cost, complex_factor, cost, flops, macs


def _lu(m: int, n: int) -> int:
    """LU factors, m·n² − n³/3 with m the longer side; 2n³/3 for a square matrix (section 3.2)."""
    m, n = max(m, n), min(m, n)
    return (3 * m * n * n - n**3) // 3


def _qr(m: int, n: int) -> int:
    """Householder QR, 2n²(m − n/3) (section 5.2)."""
    m, n = max(m, n), min(m, n)
    return (6 * m * n * n - 2 * n**3) // 3


def _full_q(m: int, n: int) -> int:
    """Q with m columns from n reflections: 4(m²n − mn² + n³/3) (section 5.2)."""
    return (12 * (m * m * n - m * n * n) + 4 * n**3) // 3


def _product_of_reflections(m: int, n: int, r: int) -> int:
    """The first n columns of a product of r reflections, 4mnr − 2(m + n)r² + 4r³/3 (LAPACK's xORGQR)."""
    return (12 * m * n * r - 6 * (m + n) * r * r + 4 * r**3) // 3


def _svd(m: int, n: int, vectors: bool, full: bool) -> int:
    """Golub-Reinsch SVD (table 8.6.1): Σ 4mn² − 4n³/3; U₁, Σ, V 14mn² + 8n³; U, Σ, V 4m²n + 8mn² + 9n³."""
    m, n = max(m, n), min(m, n)
    if not vectors:
        return (12 * m * n * n - 4 * n**3) // 3
    return 4 * m * m * n + 8 * m * n * n + 9 * n**3 if full else 14 * m * n * n + 8 * n**3


def _least_squares(m: int, n: int, k: int) -> int:
    """QR, and per right-hand side reflections 4mn − 2n² and a triangular solve n² (section 5.3); for a wide A, too."""
    m, n = max(m, n), min(m, n)
    return _qr(m, n) + k * (4 * m * n - n * n)


def _least_squares_by_svd(m: int, n: int, k: int) -> int:
    """SVD without U, 4mn² + 8n³ (table 5.5.1); per right-hand side Uᵀ as reflections 4mn − 2n², and V 2n²."""
    m, n = max(m, n), min(m, n)
    return 4 * m * n * n + 8 * n**3 + k * 4 * m * n


@kind(
    "linalg",
    inputs=(one("A"), rest("B and others")),
    attributes={"fn": str, "m": int, "n": int, "matrices": int, "k": int, "vectors": bool, "full": bool},
)
def linalg(spec: OpSpec) -> Cost | None:
    """FLOPs of a matrix m×n: LU 2n³/3, Cholesky n³/3, QR 2n²(m − n/3), inverse 2n³, triangular solve n²k, and others.

    Attributes: fn; m, n; matrices; k right-hand sides or reflections; vectors (whether vectors or Q are computed), full
    (whether all columns of Q, U and V are). Symmetric eigenvalues 4n³/3, with vectors 9n³ (section 8.3); general ones
    10n³, with vectors 25n³ (section 7.5); symmetric indefinite factors LDLᵀ n³/3 (section 4.4); an inverse from
    Cholesky factors 2n³/3 (xPOTRI); r reflections of m rows times n columns 4mnr − 2nr² (section 5.1).
    """
    m, n, k = spec["m"], spec["n"], spec["k"]
    vectors, full = spec["vectors"], spec["full"]
    counts: dict[str, Callable[[], int]] = {
        "lu": lambda: _lu(m, n),
        "det": lambda: _lu(n, n) + n,
        "solve": lambda: _lu(n, n) + 2 * n * n * k,
        "cholesky": lambda: n**3 // 3,
        "ldl": lambda: n**3 // 3,
        "inverse": lambda: 2 * n**3,
        "inverse by cholesky": lambda: 2 * n**3 // 3,
        "triangle": lambda: n * n * k,
        "two triangles": lambda: 2 * n * n * k,
        "qr": lambda: _qr(m, n) + (0 if not vectors else _full_q(m, n) if full and m > n else _qr(m, n)),
        "reflections": lambda: _product_of_reflections(m, n, k),
        "reflected": lambda: 4 * m * n * k - 2 * n * k * k,
        "least squares": lambda: _least_squares(m, n, k),
        "least squares by svd": lambda: _least_squares_by_svd(m, n, k),
        "svd": lambda: _svd(m, n, vectors, full),
        "eigh": lambda: 9 * n**3 if vectors else 4 * n**3 // 3,
        "eig": lambda: 25 * n**3 if vectors else 10 * n**3,
    }
    count = counts.get(spec["fn"])
    if count is None:
        return None
    each = 4 if any(t.complex for t in spec.inputs) else 1
    return cost(spec, flops(spec["fn"], each, "matrices", spec["matrices"], "operations", count()))


@kind(
    "pinv",
    inputs=(one("A", 2, None), rest("tolerances")),
    attributes={"m": int, "n": int, "matrices": int, "hermitian": bool},
)
def pinv(spec: OpSpec) -> Cost:
    """V·Σ⁺·Uᴴ: the SVD 14mn² + 8n³ (Hermitian: 9n³), reciprocals of Σ, V·Σ⁺, and m·n·r MACs for the product with Uᴴ.

    Attributes: m, n; matrices; hermitian. r is the shorter side. Ref: section 5.5.2.
    """
    m, n, matrices = spec["m"], spec["n"], spec["matrices"]
    r = min(m, n)
    each = 4 if spec.inputs[0].complex else 1
    decomposed = 9 * n**3 if spec["hermitian"] else _svd(m, n, vectors=True, full=False)
    return cost(
        spec,
        flops("singular values and vectors", each, "matrices", matrices, "operations", decomposed),
        flops("reciprocals", 1, "matrices", matrices, "r", r),
        flops("scale", 2 if each == 4 else 1, "matrices", matrices, "n", n, "r", r),  # complex times real: 2 products
        macs("matrices", matrices, "m", m, "n", n, "r", r, *complex_factor(spec)),
    )
