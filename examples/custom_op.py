"""A rule for an op of your own: what it costs, in one function.

python examples/custom_op.py
"""

import torch
from torch import nn

import cnncost


@torch.library.custom_op("examples::shift_add", mutates_args=())
def shift_add(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A product by powers of two: x: N,C; weight (exponents): K,C; result: N,K."""
    return x @ torch.exp2(weight).t()


@shift_add.register_fake
def _(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The shape of the result, for tensors without data."""
    return x.new_empty(x.shape[0], weight.shape[0])


class Shifted(nn.Module):
    """Two layers of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randint(-3, 0, (32, 64)).float())
        self.second = nn.Parameter(torch.randint(-3, 0, (10, 32)).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: N,64."""
        return shift_add(torch.relu(shift_add(x, self.first)), self.second)


def main() -> None:
    """Before the rule and after."""
    before = cnncost.analyze(Shifted(), "8x64")
    print("unknown before:", before.unknown, "in", before.unknown_places)

    @cnncost.rule("examples::shift_add")
    def cost_of_shift_add(spec: cnncost.OpSpec) -> cnncost.Cost:
        """No multiplications: N·K·C additions."""
        (n, c), (k, _) = spec.inputs[0].shape, spec.inputs[1].shape
        return cnncost.cost(spec, cnncost.flops("shifted sum", 1, "N", n, "K", k, "C", c))

    after = cnncost.analyze(Shifted(), "8x64", strict=True)
    print("FLOPs after:", after.totals.flops, "=", "8·32·64 + 8·32 + 8·10·32")


if __name__ == "__main__":
    main()
