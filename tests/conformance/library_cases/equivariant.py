"""e3nn and escnn: code made at construction, scripted and expanded filters."""

from __future__ import annotations

import torch
from torch import nn

from library_cases.case import Case, Cases

PACKAGES = ("!e3nn", "!opt_einsum_fx", "!opt_einsum", "sympy", "scipy", "!escnn", "!lie_learn", "!pymanopt", "joblib", "autograd")


def cases() -> Cases:
    from e3nn import nn as en
    from e3nn import o3

    irreps = o3.Irreps("4x0e + 2x1o")
    x = irreps.randn(5, -1)
    yield "e3nn Linear", lambda: Case(o3.Linear(irreps, "2x0e + 1x1o"), (x.clone(),))
    yield "e3nn FullyConnectedTensorProduct", lambda: Case(o3.FullyConnectedTensorProduct(irreps, "0e + 1o", "2x0e + 1x1o"), (x.clone(), torch.rand(5, 4)))
    yield "e3nn TensorSquare", lambda: Case(o3.TensorSquare("2x0e + 1x1o"), (torch.rand(5, 5),))
    yield "e3nn SphericalHarmonics", lambda: Case(o3.SphericalHarmonics([0, 1, 2], True), (torch.rand(5, 3),))
    yield "e3nn Gate", lambda: Case(en.Gate("2x0e", [torch.tanh], "1x0e", [torch.sigmoid], "1x1o"), (torch.rand(5, 6),))
    yield "e3nn BatchNorm", lambda: Case(en.BatchNorm(irreps), (x.clone(),))
    yield "e3nn FullyConnectedNet", lambda: Case(en.FullyConnectedNet([4, 8, 2], torch.tanh), (torch.rand(5, 4),))
    yield "e3nn S2Activation", lambda: Case(en.S2Activation("1x0e + 1x1o", torch.tanh, 10), (torch.rand(2, 4),))
    yield "e3nn Norm", lambda: Case(o3.Norm(irreps), (x.clone(),))

    def steerable(last: bool = False) -> Case:
        from escnn import gspaces
        from escnn import nn as es

        space = gspaces.rot2dOnR2(N=4)
        given, hidden = es.FieldType(space, [space.trivial_repr]), es.FieldType(space, 2 * [space.regular_repr])

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = es.SequentialModule(
                    es.R2Conv(given, hidden, 3, padding=1), es.InnerBatchNorm(hidden), es.ReLU(hidden, inplace=True),
                    es.PointwiseAvgPoolAntialiased(hidden, 0.66, stride=2), es.R2Conv(hidden, hidden, 3), es.GroupPooling(hidden),
                )  # fmt: skip

            def forward(self, x):
                return self.net(es.GeometricTensor(x, given)).tensor

        return Case(Net(), (torch.rand(1, 1, 9, 9),), training=last)

    yield "escnn rotations", steerable
    yield "escnn rotations, train mode", lambda: steerable(last=True)
