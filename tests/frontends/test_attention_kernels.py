"""Which kernel attention takes, compared with the node that a real run leaves in autograd's graph."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention as imported

import cnncost
from cnncost.frontends.torch import Training, record
from cnncost.frontends.torch.attention_kernels import Attention, kernel_of
from cnncost.ops import cost_of
from tests.oracles.allocations import peaks
from tests.versions import facts

sizes = st.integers(1, 3)
FUSED = "ScaledDotProductFlashAttentionForCpuBackward0"


def mostly(draw, usual, *others):
    return draw(st.sampled_from([usual] * 6 + list(others)))


@st.composite
def calls(draw):
    """Calls that violate none, one or some of the kernel's conditions."""
    batch, groups, times, queries, keys, width = (draw(sizes) for _ in range(6))
    grouped = draw(st.booleans())
    heads = groups * (times if grouped or mostly(draw, False, True) else 1)
    lead = mostly(draw, (batch,), (), (1, batch))
    dtype = mostly(draw, torch.float32, torch.float64, torch.bfloat16, torch.float16)

    def tensor(*shape, dtype=dtype):
        spread = mostly(draw, 1, 2)
        made = torch.rand(*shape[:-1], shape[-1] * spread).to(dtype)[..., ::spread]
        return made.requires_grad_()

    q = tensor(*lead, heads, queries, width)
    k = tensor(*lead, groups, keys, width)
    v = tensor(*lead, groups, keys, width + mostly(draw, 0, 1))
    mask = None
    shape = draw(st.sampled_from([None, None, (queries, keys), (1, keys), (queries, 1), (batch, heads, queries, keys),
                                  (1, 1, queries, keys), (batch, 1, 1, keys), (heads, queries, keys)]))  # fmt: skip
    if shape is not None:
        boolean = draw(st.booleans())
        mask = torch.ones(shape, dtype=torch.bool) if boolean else torch.zeros(shape, dtype=dtype)
        if not boolean:
            mask.requires_grad_(mostly(draw, False, True))
    causal = mask is None and draw(st.booleans())
    return q, k, v, mask, mostly(draw, 0.0, 0.1), causal, grouped


@settings(max_examples=400, deadline=None)
@given(call=calls(), on=st.booleans())
def test_the_kernel_of_a_cpu(call, on):
    q, k, v, mask, dropout, causal, grouped = call
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH] if on else [SDPBackend.MATH]):
        try:
            real = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, enable_gqa=grouped)
        except (RuntimeError, ValueError, IndexError):
            return  # nothing to choose
        found = kernel_of(Attention(q, k, v, mask, dropout, causal, grouped), "cpu")
    nodes = {real.grad_fn.name(), *(n.name() for n, _ in real.grad_fn.next_functions if n is not None)}
    assert (found == "flash") == (FUSED in nodes)


@pytest.mark.parametrize(
    ("changes", "kernel"),
    [
        pytest.param({}, "flash", id="halves"),
        pytest.param({"dtype": torch.float32}, "efficient", id="flash knows no float32"),
        pytest.param({"dtype": torch.float64}, "math", id="no kernel knows float64"),
        pytest.param({"mask": True}, "efficient", id="flash knows no mask"),
        pytest.param({"dropout": 0.1}, "flash", id="dropout is in the kernel"),
        pytest.param({"width": 264}, "efficient", id="flash up to 256"),
        pytest.param({"width": 4}, "flash", id="flash pads widths"),
        pytest.param({"width": 4, "mask": True}, "math", id="eight halves are 16 bytes"),
        pytest.param({"width": 4, "dtype": torch.float32}, "efficient", id="four floats are 16 bytes"),
        pytest.param({"groups": 2, "grouped": True}, "flash", id="grouped queries"),
        pytest.param(
            {"groups": 2, "grouped": True, "dtype": torch.float32},
            "efficient" if facts.EFFICIENT_ATTENTION_GROUPS else "math",
            id="grouped queries in float32",
        ),
        pytest.param(
            {"groups": 1}, "flash" if facts.FUSED_ATTENTION_BROADCASTS_A_HEAD else "math", id="one head, broadcast"
        ),
        pytest.param(
            {"groups": 1, "dtype": torch.float32},
            "efficient" if facts.FUSED_ATTENTION_BROADCASTS_A_HEAD else "math",
            id="one head, broadcast, in float32",
        ),
        pytest.param({"groups": 2}, "math", id="groups that the call does not name"),
        pytest.param({"lead": ()}, "flash" if facts.FUSED_ATTENTION_WITHOUT_BATCH else "math", id="three axes"),
        pytest.param(
            {"lead": (), "mask": True},
            "efficient" if facts.FUSED_ATTENTION_WITHOUT_BATCH else "math",
            id="three axes and a mask",
        ),
        pytest.param({"lead": (1, 2)}, "math", id="five axes"),
        pytest.param({"keys": 4, "causal": True}, "efficient", id="flash is causal on squares"),
    ],
)
def test_the_kernel_of_cuda(changes, kernel):
    """Derived by hand from the conditions in cuda/sdp_utils.cpp."""
    dtype, width = changes.get("dtype", torch.bfloat16), changes.get("width", 16)
    lead = changes.get("lead", (2,))
    q = torch.empty(*lead, 4, 8, width, dtype=dtype)
    k = torch.empty(*lead, changes.get("groups", 4), changes.get("keys", 8), width, dtype=dtype)
    mask = torch.empty(8, 8, dtype=dtype) if changes.get("mask") else None
    asked = Attention(
        q, k, k, mask, changes.get("dropout", 0.0), changes.get("causal", False), changes.get("grouped", False)
    )
    assert kernel_of(asked, "cuda") == kernel


# ---- the same figures by each name, in inference and in training


class Attend(nn.Module):
    def __init__(self, function, **how):
        super().__init__()
        self.function, self.how = function, how
        self.bias = nn.Parameter(torch.zeros(64, 64))

    def forward(self, *tensors):
        return self.function(self, *tensors, **self.how)


def heads(*shape):
    """In the memory layout of attention layers, with heads next to each other."""
    n, h, length, width = shape
    return torch.randn(n, length, h, width).transpose(1, 2)


def sdpa(_, q, k, v, mask=None, **how):
    return F.scaled_dot_product_attention(q, k, v, mask, **how)


def in_reference(net, *qkv):
    with sdpa_kernel(SDPBackend.MATH):
        return sdpa(net, *qkv)


Q = (2, 4, 64, 16)
CALLS = {
    "self": (sdpa, [heads(*Q)] * 3, {}),
    "in rows": (sdpa, [torch.randn(Q)] * 3, {}),
    "causal": (sdpa, [heads(*Q)] * 3, {"is_causal": True}),
    "grouped queries": (sdpa, [heads(*Q), heads(2, 2, 64, 16), heads(2, 2, 64, 16)], {"enable_gqa": True}),
    "one head for all, said so": (sdpa, [heads(*Q), *[heads(2, 1, 64, 16)] * 2], {"enable_gqa": True}),
    "one head for all, broadcast": (sdpa, [heads(*Q), *[heads(2, 1, 64, 16)] * 2], {}),
    "cross": (sdpa, [heads(*Q), *[heads(2, 4, 32, 16)] * 2], {}),
    "a mask of booleans": (sdpa, [*[heads(*Q)] * 3, torch.ones(64, 64, dtype=torch.bool)], {}),
    "a mask that learns": (lambda net, q, k, v: sdpa(net, q, k, v, net.bias), [heads(*Q)] * 3, {}),
    "one key's head, broadcast": (sdpa, [heads(*Q), heads(2, 1, 64, 16), heads(*Q)], {}),
    "one query's head, broadcast": (sdpa, [heads(2, 1, 64, 16), *[heads(*Q)] * 2], {}),
    "one head for all, broadcast, and a mask": (
        sdpa, [heads(*Q), *[heads(2, 1, 64, 16)] * 2, torch.ones(64, 64, dtype=torch.bool)], {}
    ),
    "a mask of three axes": (sdpa, [*[heads(*Q)] * 3, torch.ones(4, 64, 64, dtype=torch.bool)], {}),
    "three axes": (lambda net, q, k, v: sdpa(net, q[0], k[0], v[0]), [heads(*Q)] * 3, {}),
    "three axes, a mask": (
        lambda net, q, k, v, mask: sdpa(net, q[0], k[0], v[0], mask),
        [*[heads(*Q)] * 3, torch.ones(4, 64, 64, dtype=torch.bool)], {},
    ),
    "three axes, one head for all, broadcast": (
        lambda net, q, k, v: sdpa(net, q[0], k[0], v[0]), [heads(*Q), *[heads(2, 1, 64, 16)] * 2], {}
    ),
    "three axes, grouped queries": (
        lambda net, q, k, v: sdpa(net, q[0], k[0], v[0], enable_gqa=True), [heads(*Q), *[heads(2, 2, 64, 16)] * 2], {}
    ),
    "a batch broadcast": (sdpa, [heads(*Q), *[heads(1, 4, 64, 16)] * 2], {}),
    "a scale, of all heads": (sdpa, [heads(*Q)] * 3, {"scale": 0.5}),
    "five axes": (lambda net, q, k, v: sdpa(net, q[None], k[None], v[None]), [heads(*Q)] * 3, {}),
    "wide values": (sdpa, [heads(*Q), heads(*Q), heads(2, 4, 64, 32)], {}),
    "width not innermost": (lambda net, *qkv: sdpa(net, *(t.mT for t in qkv)), [torch.randn(2, 4, 16, 64)] * 3, {}),
    "dropout": (sdpa, [heads(*Q)] * 3, {"dropout_p": 0.1}),
    "a scale": (sdpa, [heads(*Q), *[heads(2, 1, 64, 16)] * 2], {"scale": 0.5}),
    "joined again": (lambda net, *qkv: sdpa(net, *qkv).transpose(1, 2).reshape(2, 64, 64) * 2, [heads(*Q)] * 3, {}),
    "imported": (lambda _, *qkv: imported(*qkv), [heads(*Q)] * 3, {}),
    "torch.ops": (lambda _, *qkv: torch.ops.aten.scaled_dot_product_attention(*qkv), [heads(*Q)] * 3, {}),
    "torch._C._nn": (lambda _, *qkv: torch._C._nn.scaled_dot_product_attention(*qkv), [heads(*Q)] * 3, {}),
    "doubles": (lambda net, *qkv: sdpa(net, *(t.double() for t in qkv)), [heads(*Q)] * 3, {}),
    "reference asked for": (in_reference, [heads(*Q)] * 3, {}),
}  # fmt: skip


@pytest.mark.parametrize(("function", "tensors", "how"), CALLS.values(), ids=CALLS)
def test_memory_of_inference(function, tensors, how):
    net = Attend(function, **how)
    tensors = [t.clone(memory_format=torch.preserve_format) for t in tensors]

    def run():
        with torch.no_grad():
            return net(*tensors)

    held = net.bias.nbytes + sum(t.nbytes for t in tensors)
    found = cnncost.analyze(net, tuple(tensors)).memory.inference_peak - held
    assert abs(found - peaks(run).tensors) <= 8  # scalars


@pytest.mark.parametrize(("function", "tensors", "how"), CALLS.values(), ids=CALLS)
def test_memory_of_training(function, tensors, how):
    net = Attend(function, **how)
    tensors = [t.clone(memory_format=torch.preserve_format) for t in tensors]
    tensors = [t.requires_grad_() if t.is_floating_point() else t for t in tensors]

    def clear():
        net.bias.grad = None
        for tensor in tensors:
            tensor.grad = None

    def step(_):
        out = net(*tensors)
        loss = out.sum()
        loss.backward()
        return out, loss

    real = peaks(step, clear).tensors
    clear()
    held = net.bias.nbytes + sum(t.nbytes for t in tensors)
    found = cnncost.analyze(net, tuple(tensors), training=True).memory.training_peak - held
    assert abs(found - real) <= 16  # scalars


@pytest.mark.parametrize(("function", "tensors", "how"), CALLS.values(), ids=CALLS)
def test_products(function, tensors, how):
    """Two forward with any kernel; backward four with the reference, which saves its scores, and five with others."""
    tensors = [t.detach().requires_grad_() if t.is_floating_point() else t for t in tensors]
    net = Attend(function, **how)
    inference = cnncost.analyze(net, tuple(tensors)).totals
    graph = record(net, tuple(tensors), training=Training())
    phases = ("forward", "backward")
    macs = {phase: sum(cost_of(n.spec).macs for n in graph.nodes if n.phase == phase) for phase in phases}
    real = net(*tensors)
    q, k, v = ([t.shape for t in tensors] + [None])[:3]
    if q == (2, 4, 16, 64):
        q = k = v = torch.Size(Q)
    batch = max(math.prod(t[:-2]) for t in (q, k)) if real.dim() != 3 or real.shape[0] == 2 else q[1]
    scores = batch * q[2] * k[2] * q[3]
    weighted = batch * q[2] * k[2] * v[3]
    assert inference.macs == macs["forward"] == scores + weighted
    fused = any(n.name.endswith("flash_attention_for_cpu") for n in graph.nodes)
    assert macs["backward"] == (3 * scores + 2 * weighted if fused else 2 * scores + 2 * weighted)
