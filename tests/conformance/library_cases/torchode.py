"""torchode: solvers whose number of steps the values decide."""

from __future__ import annotations

import torch
from torch import nn

from library_cases.case import Case, Cases

PACKAGES = ("!torchode", "!torchtyping", "typeguard<3", "sympy")


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, t, y):
        return self.net(y)


def cases() -> Cases:
    import torchode as to

    class Solved(nn.Module):
        def __init__(self, method: str, step: bool = False) -> None:
            super().__init__()
            self.field = Field()
            term = to.ODETerm(self.field)
            kind = getattr(to, method)(term=term)
            control = to.FixedStepController() if step else to.IntegralController(atol=1e-3, rtol=1e-3, term=term)
            self.solver = to.AutoDiffAdjoint(kind, control)
            self.step = step

        def forward(self, y):
            times = torch.linspace(0, 1, 3).repeat(y.shape[0], 1)
            problem = to.InitialValueProblem(y0=y, t_eval=times)
            dt0 = torch.full((y.shape[0],), 0.25) if self.step else None
            return self.solver.solve(problem, dt0=dt0).ys

    y = torch.rand(3, 2)
    for method in ("Euler", "Heun", "Dopri5", "Tsit5"):
        yield method, lambda method=method: Case(Solved(method, step=method == "Euler"), (y.clone(),))

    class Interface(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.field = Field()

        def forward(self, y):
            return to.solve_ivp(self.field, y, torch.linspace(0, 1, 3), method="dopri5").ys

    yield "solve_ivp", lambda: Case(Interface(), (y.clone(),))
