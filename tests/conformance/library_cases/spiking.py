"""Spiking networks: snnTorch and Norse, states passed along in tuples, named tuples and attributes."""

from __future__ import annotations

import torch
from torch import nn

from library_cases.case import Case, Cases

PACKAGES = ("!snntorch", "!norse", "!nir", "!nirtorch", "numpy", "matplotlib", "h5py")


def cases() -> Cases:
    import snntorch as snn
    from snntorch import surrogate

    class Steps(nn.Module):
        """The tutorial's network over time, its membranes kept in forward."""

        def __init__(self, kind: type, **more) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 6), nn.Linear(6, 4)
            self.first, self.second = kind(beta=0.9, **more), kind(beta=0.9, **more)

        def forward(self, x):
            one, two = self.first.reset_mem(), self.second.reset_mem()
            out = []
            for step in range(3):
                spike, one = self.first(self.one(x[step]), one)
                spike, two = self.second(self.two(spike), two)
                out.append(spike)
            return torch.stack(out)

    x = torch.rand(3, 2, 8)
    yield "snntorch Leaky", lambda: Case(Steps(snn.Leaky), (x.clone(),))
    yield "snntorch Leaky, surrogate", lambda: Case(Steps(snn.Leaky, spike_grad=surrogate.fast_sigmoid()), (x.clone(),))
    yield "snntorch Leaky, learned", lambda: Case(Steps(snn.Leaky, learn_beta=True, learn_threshold=True), (x.clone(),))
    yield (
        "snntorch hidden states",
        lambda: Case(
            nn.Sequential(
                nn.Conv2d(1, 4, 3),
                snn.Leaky(beta=0.5, init_hidden=True),
                nn.Flatten(),
                nn.Linear(144, 4),
                snn.Leaky(beta=0.5, init_hidden=True, output=True),
            ),
            (torch.rand(2, 1, 8, 8),),
        ),
    )
    yield (
        "snntorch Synaptic",
        lambda: Case(
            nn.Sequential(nn.Linear(8, 4), snn.Synaptic(alpha=0.9, beta=0.8, init_hidden=True)), (x[0].clone(),)
        ),
    )
    yield "snntorch SLSTM", lambda: Case(snn.SLSTM(8, 4, init_hidden=True), (x[0].clone(),))
    yield "snntorch SConv2dLSTM", lambda: Case(snn.SConv2dLSTM(1, 4, 3, init_hidden=True), (torch.rand(2, 1, 8, 8),))
    yield (
        "snntorch RLeaky",
        lambda: Case(
            nn.Sequential(nn.Linear(8, 4), snn.RLeaky(beta=0.5, linear_features=4, init_hidden=True)), (x[0].clone(),)
        ),
    )

    import norse.torch as norse

    yield (
        "norse LIFCell",
        lambda: Case(
            norse.SequentialState(nn.Linear(8, 6), norse.LIFCell(), nn.Linear(6, 4), norse.LIFCell()), (x[0].clone(),)
        ),
    )
    yield "norse LIF", lambda: Case(norse.LIF(), (x.clone(),))
    yield "norse LIFRecurrent", lambda: Case(norse.LIFRecurrent(8, 6), (x.clone(),))
    yield "norse LSNN", lambda: Case(norse.LSNNRecurrent(8, 6), (x.clone(),))
    yield "norse LICell with state", lambda: Case(norse.LICell(), (x[0].clone(), norse.LICell()(x[0])[1]))
    yield (
        "norse Lift",
        lambda: Case(norse.SequentialState(norse.Lift(nn.Conv2d(1, 2, 3)), norse.LIF()), (torch.rand(3, 2, 1, 8, 8),)),
    )
