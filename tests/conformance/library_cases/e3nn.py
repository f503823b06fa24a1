"""e3nn: modules whose code is made at construction, as graphs of torch.fx."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = ("!e3nn", "!opt_einsum_fx", "!opt_einsum", "sympy", "scipy")


def cases() -> Cases:
    from e3nn import nn as en
    from e3nn import o3

    irreps = o3.Irreps("4x0e + 2x1o")
    x = irreps.randn(5, -1)
    yield "Linear", lambda: Case(o3.Linear(irreps, "2x0e + 1x1o"), (x.clone(),))
    yield (
        "FullyConnectedTensorProduct",
        lambda: Case(o3.FullyConnectedTensorProduct(irreps, "0e + 1o", "2x0e + 1x1o"), (x.clone(), torch.rand(5, 4))),
    )
    yield "TensorSquare", lambda: Case(o3.TensorSquare("2x0e + 1x1o"), (torch.rand(5, 5),))
    yield "SphericalHarmonics", lambda: Case(o3.SphericalHarmonics([0, 1, 2], True), (torch.rand(5, 3),))
    yield "Gate", lambda: Case(en.Gate("2x0e", [torch.tanh], "1x0e", [torch.sigmoid], "1x1o"), (torch.rand(5, 6),))
    yield "BatchNorm", lambda: Case(en.BatchNorm(irreps), (x.clone(),))
    yield "FullyConnectedNet", lambda: Case(en.FullyConnectedNet([4, 8, 2], torch.tanh), (torch.rand(5, 4),))
    yield "S2Activation", lambda: Case(en.S2Activation("1x0e + 1x1o", torch.tanh, 10), (torch.rand(2, 4),))
    yield "Norm", lambda: Case(o3.Norm(irreps), (x.clone(),))
