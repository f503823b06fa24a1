"""A rule for an autograd.Function whose kernel torch can't see: the selective scan of Mamba and VMamba.

python examples/selective_scan.py

The scan is a loop in plain Python here, where the library has a CUDA kernel. Neither runs on tensors without data, and
with the rule neither has to.
"""

import torch
from torch import nn

import cnncost


def scan(
    u: torch.Tensor, delta: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor
) -> torch.Tensor:
    """h[t] = exp(Δ[t]·A)·h[t−1] + Δ[t]·u[t]·B[t], y[t] = C[t]·h[t] + D·u[t] (Gu and Dao 2023, algorithm 2).

    u, delta: N,D,L; a: D,S; b, c: N,S,L; d: D; result: N,D,L.
    """
    state = u.new_zeros(*u.shape[:2], a.shape[1])
    steps = []
    for t in range(u.shape[2]):
        decay = torch.exp(delta[:, :, t, None] * a)
        state = decay * state + (delta * u)[:, :, t, None] * b[:, None, :, t]
        steps.append((state * c[:, None, :, t]).sum(-1) + d * u[:, :, t])
    return torch.stack(steps, -1)


class SelectiveScan(torch.autograd.Function):
    """As such a kernel is called: one op forward and one backward, on pointers to data."""

    @staticmethod
    def forward(ctx, *tensors):  # noqa: ANN001, ANN002, ANN205  # as torch calls it
        """The kernel."""
        assert all(int(tensor.data_ptr()) for tensor in tensors), "the kernel was run without data"
        ctx.save_for_backward(*tensors)
        return scan(*tensors)

    @staticmethod
    def backward(ctx, grad):  # noqa: ANN001, ANN205
        """The kernel of backward, which runs the states anew."""
        with torch.enable_grad():
            tensors = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
            return torch.autograd.grad(scan(*tensors), tensors, grad)


@cnncost.function_rule(SelectiveScan)
def selective_scan(u, delta, a, b, c, d):  # noqa: ANN001, ANN201, ARG001  # shapes and dtypes in place of tensors
    """For each step of each channel, S states: MACs = 2·N·D·L·S + N·D·L.

    Forward: Δ·A and its exp, (Δ·u)·B are 3 FLOPs a state, Δ·u one a channel; h = decay·h + … and y += C·h are a MAC a
    state each, D·u + y one a channel.
    Backward: decay and states anew; then 7 MACs a state (grad h += C·grad y and += decay·grad h of the next step; grads
    of C, B and Δ·u; grads of Δ and A by that of Δ·A), the grad of Δ·A itself is two products; 4 MACs a channel (grads
    of Δ and u by that of Δ·u, of u and D by D·u).
    """
    n, channels, length = u.shape
    every = ("N", n, "D", channels, "L", length)
    states = (*every, "S", a.shape[1])
    again = (cnncost.flops("decay, input", 3, *states), cnncost.flops("Δ·u", 1, *every))
    return cnncost.custom(
        u,
        cnncost.macs(*states, label="state"),
        cnncost.macs(*states, label="output"),
        cnncost.macs(*every, label="skip"),
        *again,
        backward=(
            cnncost.macs(*states, label="state anew"),
            *again,
            cnncost.macs("7", 7, *states),
            cnncost.flops("grad of Δ·A", 2, *states),
            cnncost.macs("4", 4, *every),
        ),
    )


class Block(nn.Module):
    """A linear layer in, the scan, a linear layer out. x: N,L,D."""

    def __init__(self, channels: int = 16, states: int = 8) -> None:
        super().__init__()
        self.inwards = nn.Linear(channels, 2 * channels + 2 * states)
        self.outwards = nn.Linear(channels, channels)
        self.decay = nn.Parameter(-torch.rand(channels, states))
        self.skip = nn.Parameter(torch.ones(channels))
        self.sizes = (channels, channels, states, states)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Forward."""
        u, delta, b, c = self.inwards(x).transpose(1, 2).split(self.sizes, 1)
        y = SelectiveScan.apply(u, torch.nn.functional.softplus(delta), self.decay, b, c, self.skip)
        return self.outwards(y.transpose(1, 2))


def main() -> None:
    """Static, of a training step; and held against a real run."""
    report = cnncost.analyze(Block(), "2x32x16", training=True, strict=True)
    print(report)
    print()
    print(report.explain(""))
    real = cnncost.analyze(Block(), torch.rand(2, 32, 16), trace="real")
    assert real.totals.macs == report.totals.macs


if __name__ == "__main__":
    main()
