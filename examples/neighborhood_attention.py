"""A rule for a module whose kernel torch can't see: neighborhood attention, as NATTEN has it.

python examples/neighborhood_attention.py

Its linear layers are ordinary and are seen as ever; only the module that calls the kernel has a rule. The kernel is a
loop in plain Python here, where the library has CUDA.
"""

import torch
from torch import nn

import cnncost


class Neighborhoods(nn.Module):
    """Each position attends to the K×K positions around it; at borders the window is moved inwards.

    Hassani et al. 2023, section 3. q, k, v: N,M,H,W,C with M heads; result the same.
    """

    def __init__(self, kernel: int = 5) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """The kernel: it works on pointers to data."""
        assert int(q.data_ptr()), "the kernel was run without data"
        h, w = q.shape[2:4]
        rows = []
        for i in range(h):
            top = min(max(i - self.kernel // 2, 0), h - self.kernel)
            row = []
            for j in range(w):
                left = min(max(j - self.kernel // 2, 0), w - self.kernel)
                window = (..., slice(top, top + self.kernel), slice(left, left + self.kernel), slice(None))
                scores = (q[:, :, i, j, None, None] * q.shape[-1] ** -0.5 * k[window]).sum(-1).flatten(-2).softmax(-1)
                row.append((scores[..., None] * v[window].flatten(-3, -2)).sum(-2))
            rows.append(torch.stack(row, 2))
        return torch.stack(rows, 2)


@cnncost.module_rule(Neighborhoods)
def neighborhoods(module, q, k, v):  # noqa: ANN001, ANN201, ARG001  # shapes and dtypes in place of tensors
    """MACs = 2·N·M·H·W·K²·C: scores, and weighted sums of values.

    Backward has four such products where forward has two (the grads of the weights, v, q and k), and 4 FLOPs a weight
    for the softmax. It keeps the weights, beside its inputs.
    """
    n, heads, h, w, c = q.shape
    weights = ("N·M", n * heads, "H·W", h * w, "K²", module.kernel**2)
    return cnncost.custom(
        q,
        cnncost.macs(*weights, "C", c, label="scores"),
        cnncost.macs(*weights, "C", c, label="weighted sums"),
        cnncost.flops("scale", 1, "N·M", n * heads, "H·W", h * w, "C", c),
        cnncost.flops("softmax", 5, *weights),
        backward=(
            cnncost.macs("4", 4, *weights, "C", c),
            cnncost.flops("softmax", 4, *weights),
            cnncost.flops("scale", 1, "N·M", n * heads, "H·W", h * w, "C", c),
        ),
        saved=4 * n * heads * h * w * module.kernel**2,
    )


class NeighborhoodAttention(nn.Module):
    """Neighborhood attention with its linear layers. x: N,H,W,C."""

    def __init__(self, channels: int = 32, heads: int = 4, kernel: int = 5) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.attend = Neighborhoods(kernel)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Forward."""
        n, h, w, c = x.shape
        q, k, v = self.qkv(x).view(n, h, w, 3, self.heads, c // self.heads).permute(3, 0, 4, 1, 2, 5)
        y = self.attend(q, k, v)
        return self.proj(y.permute(0, 2, 3, 1, 4).reshape(n, h, w, c))


def main() -> None:
    """Static, of a training step; and held against a real run."""
    report = cnncost.analyze(NeighborhoodAttention(), "1x14x14x32", training=True, strict=True)
    print(report)
    print()
    print(report.explain("attend"))
    real = cnncost.analyze(NeighborhoodAttention(), torch.rand(1, 14, 14, 32), trace="real")
    assert real.totals.macs == report.totals.macs


if __name__ == "__main__":
    main()
