"""What forward creates is on the device where a real run has it: code asks for it, and goes one way or the other."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import cnncost

HELD = torch.ones(3)
CREATED = {
    "tensor": lambda x: torch.tensor([1.0, 2.0]),
    "tensor of a number": lambda x: torch.tensor(1),
    "tensor of an array": lambda x: torch.tensor(np.ones(3)),
    "tensor of a shape": lambda x: torch.tensor(x.shape),
    "tensor of a list of values": lambda x: torch.tensor(torch.arange(3).tolist()),
    "tensor on the input's device": lambda x: torch.tensor([1], device=x.device),
    "tensor that wants gradients": lambda x: torch.tensor([1.0], requires_grad=True),
    "as_tensor": lambda x: torch.as_tensor([1, 2]),
    "as_tensor of an array": lambda x: torch.as_tensor(np.ones(3)),
    "asarray": lambda x: torch.asarray([1, 2]),
    "from_numpy": lambda x: torch.from_numpy(np.ones(3)),
    "of an array of known values": lambda x: torch.as_tensor(torch.arange(3).numpy()),
    "Tensor": lambda x: torch.Tensor([1, 2]),
    "LongTensor": lambda x: torch.LongTensor([1, 2]),
    "FloatTensor of a size": lambda x: torch.FloatTensor(2, 3),
    "ones": lambda x: torch.ones(3),
    "arange": lambda x: torch.arange(3),
    "eye": lambda x: torch.eye(3),
    "randn": lambda x: torch.randn(3),
    "scalar_tensor": lambda x: torch.scalar_tensor(1.0),
    "new": lambda x: x.new(3),
    "new of a list": lambda x: x.new([1, 2]),
    "new_tensor": lambda x: x.new_tensor([1.0]),
    "new_zeros": lambda x: x.new_zeros(3),
    "zeros_like": torch.zeros_like,
    "moved to the input's": lambda x: torch.tensor([1.0]).to(x),
    "what is computed of a literal": lambda x: torch.tensor([1, 2]).cumsum(0),
    "indices": lambda x: torch.where(torch.tensor([True, False]))[0],
    "picked": lambda x: torch.arange(4)[torch.tensor([True, False, True, True])],
    "repeated": lambda x: torch.tensor([1, 2]).repeat_interleave(torch.tensor([2, 3])),
    "one_hot": lambda x: F.one_hot(torch.tensor([0, 1]), 3),
    "stack": lambda x: torch.stack([torch.tensor(1.0), torch.tensor(2.0)]),
    "cartesian_prod": lambda x: torch.cartesian_prod(torch.tensor([1, 2]), torch.tensor([1, 2])),
    "a global": lambda x: HELD,
    "of a global": lambda x: HELD.clone(),
    "a copy": lambda x: copy.deepcopy(torch.ones(2)),
    "a parameter": lambda x: nn.Parameter(torch.tensor([1.0])),
    "a layer's": lambda x: nn.Linear(2, 2).weight,
    "a mask": lambda x: nn.Transformer.generate_square_subsequent_mask(4),
}


class Asking(nn.Module):
    """Runs its layer once more for each answer that a tensor on the CPU does not give."""

    def __init__(self, create):
        super().__init__()
        self.create, self.layer = create, nn.Linear(4, 4)

    def forward(self, x):
        tensor = self.create(x)
        for wrong in (
            tensor.device != x.device, tensor.device.type != "cpu", tensor.is_meta, not tensor.is_cpu,
            tensor.get_device() != -1, "meta" in tensor.type(),
        ):  # fmt: skip
            if wrong:
                x = self.layer(x)
        return self.layer(x)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", CREATED)
def test_it_is_where_a_real_run_has_it(name, training):
    model = Asking(CREATED[name])
    with torch.no_grad():
        model(torch.ones(2, 4))  # as it is in a real run
    report = cnncost.analyze(model, (2, 4), training=training)
    assert report.totals.macs == 2 * 16


@pytest.mark.parametrize("create", [lambda: torch.ones(2, device="meta"), lambda: torch.ones(2).to("meta")])
def test_what_is_asked_to_be_on_meta_is(create):
    model = Asking(lambda _: create())
    calls = []
    handle = model.layer.register_forward_hook(lambda *_: calls.append(1))
    model(torch.ones(2, 4))
    handle.remove()
    assert cnncost.analyze(model, (2, 4)).totals.macs == len(calls) * 2 * 16 > 2 * 16


@pytest.mark.parametrize("trace", ["static", "real"])
def test_offsets_made_in_forward_divide_a_nested_tensor(trace):
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x):
            return self.layer(torch.nested.nested_tensor_from_jagged(x, torch.tensor([0, 3, 8]))).values()

    report = cnncost.analyze(Nested(), torch.rand(8, 4), training=True, trace=trace)
    assert (report.totals.macs, report.totals.training_macs) == (8 * 12, 2 * 8 * 12)
