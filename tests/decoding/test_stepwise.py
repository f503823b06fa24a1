"""Serving of models that have a method `step`: by hand, and beside real steps."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from oracles.allocations import peaks
from torch.utils.flop_counter import FlopCounterMode

import cnncost
from cnncost.errors import ForwardError, InputError
from tests.decoding.stepwise import Counted, Decoder, Latent, Listed, Recurrent, Rows, Static, Window

BATCH, CONTEXT = 3, 12
PROMPTS = {
    "grouped heads": (Decoder, None, lambda n: torch.randint(61, (BATCH, n))),
    "a latent": (Latent, "1x1x64", lambda n: torch.randn(BATCH, n, 64)),
    "a window": (Window, "1x1x16", lambda n: torch.randn(BATCH, n, 16)),
    "a state": (Recurrent, "1x1x16", lambda n: torch.randn(BATCH, n, 16)),
    "a static cache": (Static, "1x1x16", lambda n: torch.randn(BATCH, n, 16)),
    "a length that is read": (Counted, "1x1x16", lambda n: torch.randn(BATCH, n, 16)),
    "an object with a list": (Listed, "1x1x16", lambda n: torch.randn(BATCH, n, 16)),
}


def tensors(cache):
    if isinstance(cache, torch.Tensor):
        return [cache] if cache.dim() else []
    cache = cache.rows if isinstance(cache, Rows) else cache
    items = cache.values() if isinstance(cache, dict) else cache if isinstance(cache, (list, tuple)) else ()
    return [tensor for item in items for tensor in tensors(item)]


def nbytes(cache):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors(cache))


@pytest.mark.parametrize("name", PROMPTS)
def test_calls_and_cache_are_those_of_real_steps(name):
    make, given, prompt = PROMPTS[name]
    model = make().eval()
    found = cnncost.serving(model, given, context=CONTEXT, batch=BATCH)
    first, token = prompt(CONTEXT), prompt(1)
    with torch.no_grad():
        with FlopCounterMode(display=False) as prefill:
            _, cache = model.step(first, None)
        filled, kept = nbytes(cache), deepcopy(cache)
        with FlopCounterMode(display=False) as decode:
            _, grown = model.step(token, cache)
        held = sum(p.nbytes for p in model.parameters())
        real = [
            held + first.nbytes + peaks(lambda: model.step(first, None)).tensors,
            held + token.nbytes + peaks(lambda: model.step(token, deepcopy(kept))).tensors,
        ]
    if name != "a state":  # torch's counter knows no recurrent kernel
        counted = [prefill.get_total_flops() // 2, decode.get_total_flops() // 2]
        assert [found.prefill.totals.macs, found.decode.totals.macs] == counted
    assert found.cache_nbytes == filled
    assert found.cache.bytes_per_token * BATCH == nbytes(grown) - filled
    assert [r.memory.inference_peak for r in (found.prefill, found.decode)] == pytest.approx(real, rel=0.002)


def test_grouped_heads_by_hand():
    layers, width, size, shared, words = 2, 32, 8, 2, 61
    found = cnncost.serving(Decoder(), context=100)
    weights = layers * (width * (width + 2 * shared * size) + width * width) + width * words
    assert found.cache.bytes_per_token == layers * 2 * shared * size * 4
    assert found.cache.nbytes == found.cache.growing == 100 * found.cache.bytes_per_token
    assert found.cache.constant == 0
    assert found.prefill.totals.macs == 100 * weights + layers * 2 * 100 * 100 * width
    assert found.decode.totals.macs == weights + layers * 2 * 101 * width
    law = found.courses["macs"]
    assert law.coefficients == (weights + layers * 2 * width, layers * 2 * width)
    assert law.checked == (25, 50)
    assert found.courses["prefill_macs"].coefficients == (0, weights, layers * 2 * width)
    assert found.courses["cache"].coefficients == (0, found.cache.bytes_per_token)
    assert law(60) == weights + layers * 2 * 61 * width


def test_a_latent_cache_in_half_precision_has_576_numbers_a_token():
    found = cnncost.serving(Latent().to(torch.bfloat16), "1x1x64:bfloat16", context=40)
    assert found.cache.bytes_per_token == (512 + 64) * 2
    assert found.cache.nbytes == 40 * (512 + 64) * 2


@pytest.mark.parametrize(
    ("model", "context", "expected"),
    [
        pytest.param(Window(), 5, (5 * 64, 64, 5 * 64), id="a window that is not full"),
        pytest.param(Window(), 8, (8 * 64, 0, 0), id="a window that is just full"),
        pytest.param(Window(), 100, (8 * 64, 0, 0), id="a window that is full"),
        pytest.param(Recurrent(), 7, (24 * 4, 0, 0), id="a state"),
        pytest.param(Static(), 7, (32 * 64, 0, 0), id="a static cache"),
        pytest.param(Counted(), 7, (32 * 64, 0, 0), id="a length that is read"),
        pytest.param(Listed(), 7, (7 * 64, 64, 7 * 64), id="an object with a list"),
    ],
)
@pytest.mark.parametrize("batch", [1, 5])
def test_what_grows_and_what_stays(model, context, expected, batch):
    cache = cnncost.serving(model, "1x1x16", context=context, batch=batch).cache
    assert (cache.nbytes, cache.bytes_per_token, cache.growing) == expected
    assert cache.kept_alive == cache.nbytes


@pytest.mark.parametrize("chunk", [1, 5, 7, 12, 40])
def test_a_prefill_in_chunks_computes_each_token_once(chunk):
    """But for attention, each token is computed in its chunk; a chunk attends to all before it."""
    found = cnncost.serving(Decoder(), context=12, chunk=chunk)
    ends = [*range(chunk, 12, chunk), 12]
    sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    weights = 2 * (32 * 64 + 32 * 32) + 32 * 61
    expected = [n * weights + 2 * 2 * n * end * 32 for n, end in zip(sizes, ends, strict=True)]
    assert [report.totals.macs for report in found.chunks] == expected
    assert found.decode.totals.macs == weights + 2 * 2 * 13 * 32


def test_the_last_step_attends_to_the_new_tokens():
    found = cnncost.serving(Decoder(), context=12, new_tokens=9)
    assert found.last is not None
    assert found.last.totals.macs - found.decode.totals.macs == 2 * 2 * 8 * 32


def test_times_and_what_fits(tmp_path):
    device = tmp_path / "devices.toml"
    device.write_text(
        '[toy]\ntitle = "Toy"\nclass = "other"\nbandwidth = 1e6\nmemory = 200000\nlaunch = 0\nsource = "made up"\n'
        "[toy.flops]\nfloat32 = 1e9\n"
    )
    found = cnncost.serving(Decoder(), context=12, batch=2, device="toy", device_file=device, fit=True)
    seconds = [each.roofline.total.seconds for each in found.times]
    assert found.first_token_seconds == seconds[0]
    assert found.generation_seconds == seconds[1]

    def peak(batch, context):
        served = cnncost.serving(Decoder(), context=context, batch=batch)
        return max(served.prefill.memory.inference_peak, served.decode.memory.inference_peak)

    assert peak(found.largest_batch, 12) <= 200_000 < peak(found.largest_batch + 1, 12)
    assert peak(2, found.longest_context) <= 200_000 < peak(2, found.longest_context + 1)


@pytest.mark.parametrize(
    ("model", "longest", "note"),
    [
        pytest.param(Static(), 32, "33 tokens fail: Static: the model at stepwise.py", id="a cache with an end"),
        pytest.param(Window(), 64, "64 tokens fit, and no more were tried", id="no end"),
    ],
)
def test_a_longest_context_that_is_not_memorys_says_why(tmp_path, monkeypatch, model, longest, note):
    """A static cache has 32 places: 33 tokens fail (one more, behind them, is written to an empty slice)."""
    with torch.no_grad():
        _, cache = Static().step(torch.zeros(1, 32, 16), None)
        Static().step(torch.zeros(1, 1, 16), cache)
        with pytest.raises(RuntimeError, match="expanded size"):
            Static().step(torch.zeros(1, 33, 16), None)
    monkeypatch.setattr("cnncost.decoding.run._MAX_CONTEXT", 64)
    device = tmp_path / "devices.toml"
    device.write_text(
        '[toy]\ntitle = "Toy"\nclass = "other"\nbandwidth = 1e6\nmemory = 1e9\nlaunch = 0\nsource = "made up"\n'
        "[toy.flops]\nfloat32 = 1e9\n"
    )
    found = cnncost.serving(model, "1x1x16", context=6, device="toy", device_file=device, fit=True)
    assert found.longest_context == longest
    assert [text for text in found.notes if note in text]


def test_the_model_and_its_caches_are_as_they_were():
    model = Static()
    before = deepcopy(model.state_dict())
    cnncost.serving(model, "1x1x16", context=4)
    assert model.training
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


class NoCache(torch.nn.Module):
    def step(self, x, cache):
        return x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: cnncost.serving(Decoder(), context=0), "context=0: expected a whole number", id="none"),
        pytest.param(lambda: cnncost.serving(Decoder(), context=4, batch=0), "batch=0", id="no sequence"),
        pytest.param(lambda: cnncost.serving(Decoder(), context=4, chunk=1.5), "chunk=1.5", id="half a token"),
        pytest.param(lambda: cnncost.serving(torch.nn.ReLU(), context=4), "expected a method step", id="no step"),
        pytest.param(lambda: cnncost.serving("lenet5", context=4), "LeNet5 can't be served", id="a network"),
        pytest.param(lambda: cnncost.serving(NoCache(), context=4), "outputs and the cache", id="no cache"),
        pytest.param(lambda: cnncost.serving(Window(), (7,), context=4), "first two axes", id="one axis"),
        pytest.param(lambda: cnncost.serving(Window(), object(), context=4), "expected one shape", id="no shape"),
        pytest.param(lambda: cnncost.serving(Decoder(), context=4, fit=True), "expected a device", id="no device"),
        pytest.param(lambda: cnncost.serving(Decoder(), context=4, dtype="bf16"), "built", id="a dtype of a built one"),
    ],
)
def test_what_can_not_be_served(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_prompt_beyond_a_static_cache_fails_as_its_step_does():
    with pytest.raises(ForwardError, match=r"stepwise.py:\d+: RuntimeError: The expanded size"):
        cnncost.serving(Static(), "1x1x16", context=40)
