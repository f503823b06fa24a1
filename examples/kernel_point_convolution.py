"""A rule for a module with parameters whose kernel torch can't see: kernel point convolution, as KPConv has it.

python examples/kernel_point_convolution.py

The kernel is in plain Python here, where the library has CUDA. What the rule says of backward depends on whether inputs
and parameters get gradients.
"""

import torch
from torch import nn

import cnncost


class KernelPointConvolution(nn.Module):
    """Features of P kernel points around each point, by how near its M neighbours are to them (Thomas et al. 2019).

    points: N,3; neighbours: N,M, indices of points; features: N,C; result: N,K.
    """

    def __init__(self, c: int, k: int, kernel_points: int = 15, extent: float = 0.3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernel_points, c, k) / (kernel_points * c) ** 0.5)
        self.register_buffer("kernel", torch.rand(kernel_points, 3) - 0.5)
        self.extent = extent

    def forward(self, points: torch.Tensor, neighbours: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """The kernel: it reads which points are neighbours."""
        assert int(neighbours.data_ptr()), "the kernel was run without data"
        result = []
        for point, near in zip(points, neighbours.tolist(), strict=True):
            offsets = points[near] - point
            distances = (offsets[None] - self.kernel[:, None]).square().sum(-1).sqrt()
            influence = (1 - distances / self.extent).clamp(min=0)
            result.append(((influence @ features[near])[:, :, None] * self.weight).sum((0, 1)))
        return torch.stack(result)


@cnncost.module_rule(KernelPointConvolution)
def kernel_point_convolution(module, points, neighbours, features):  # noqa: ANN001, ANN201, ARG001
    """MACs = N·P·M·C + N·P·C·K: features weighted by nearness, then the product with the weights.

    For tensors it gets shapes and dtypes. Nearness of each neighbour to each kernel point: 3 differences, 3 squares,
    2 sums, a root; a quotient, a difference, a maximum: 12 FLOPs; and 3 for each neighbour's offset. Points are data
    and get no gradient.
    """
    n, m = neighbours.shape
    p, c, k = module.weight.shape
    weighted, product = ("N", n, "P", p, "M", m, "C", c), ("N", n, "P", p, "C", c, "K", k)

    def backward(inputs, parameters):  # noqa: ANN001, ANN202  # whether they get gradients
        terms = []
        if inputs:
            terms += [
                cnncost.macs(*product, label="grad of weighted"),
                cnncost.macs(*weighted, label="grad of features"),
            ]
        if parameters:
            terms.append(cnncost.macs(*product, label="grad of weights"))
        return terms

    return cnncost.custom(
        ((n, k), features.dtype),
        cnncost.macs(*weighted, label="weighted"),
        cnncost.macs(*product, label="product"),
        cnncost.flops("offsets", 3, "N", n, "M", m),
        cnncost.flops("nearness", 12, "N", n, "P", p, "M", m),
        backward=backward,
    )


class Network(nn.Module):
    """Two such convolutions and a classifier of points."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = KernelPointConvolution(4, 16), KernelPointConvolution(16, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, points: torch.Tensor, neighbours: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """points: N,3; neighbours: N,M; features: N,4."""
        x = self.first(points, neighbours, features).relu()
        return self.head(self.second(points, neighbours, x).relu())


def main() -> None:
    """Static, of a training step; and held against a real run."""
    report = cnncost.analyze(Network(), ("100x3", "100x12:int64", "100x4"), training=True, strict=True)
    print(report)
    print()
    print(report.explain("second"))
    cloud = (torch.rand(100, 3), torch.randint(100, (100, 12)), torch.rand(100, 4))
    real = cnncost.analyze(Network(), cloud, trace="real")
    assert real.totals.macs == report.totals.macs


if __name__ == "__main__":
    main()
