"""Serving of Transformers' architectures, beside real calls of a model of the same configuration."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from oracles.allocations import peaks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import cnncost
from tests.decoding.architectures import ARCHITECTURES, EXPERTS
from tests.zoos import needs

pytestmark = needs("transformers")
BATCH, CONTEXT = 2, 12


def built(name):
    """A model of this configuration, with the head that generates."""
    import transformers

    autos = (
        transformers.AutoModelForSeq2SeqLM,
        transformers.AutoModelForSpeechSeq2Seq,
        transformers.AutoModelForCausalLM,
    )
    config = transformers.models.auto.configuration_auto.CONFIG_MAPPING[name](**ARCHITECTURES[name])
    return next(auto for auto in autos if type(config) in auto._model_mapping).from_config(config).eval()


def tensors(held, seen):
    """Tensors with axes in an object, each once."""
    if id(held) in seen or isinstance(held, (str, int, float, type)):
        return []
    seen[id(held)] = held
    if isinstance(held, torch.Tensor):
        return [held] if held.dim() else []
    items = held.values() if isinstance(held, dict) else held if isinstance(held, (list, tuple)) else ()
    items = [*items, *getattr(held, "__dict__", {}).values()]
    return [tensor for item in items for tensor in tensors(item, seen)]


def nbytes(held):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors(held, {}))


class Conversation:
    """A prompt and a token after it."""

    def __init__(self, name, model):
        self.model = model
        ids, token = torch.randint(3, 60, (BATCH, CONTEXT)), torch.randint(3, 60, (BATCH, 1))
        self.first = {"input_ids": ids}
        if name in {"t5", "bart"}:
            self.first["decoder_input_ids"] = token
        elif name == "whisper":
            self.first = {"input_features": torch.randn(BATCH, 8, 100), "decoder_input_ids": ids}
        self.second = {"input_ids": token}
        out = model(**self.first, use_cache=True)
        self.field = next(f for f in ("past_key_values", "cache_params") if out.get(f) is not None)
        self.cache = deepcopy(out[self.field])
        if "decoder_input_ids" in self.first:
            self.second = {"decoder_input_ids": token, "encoder_outputs": (out.encoder_last_hidden_state,)}

    def prefill(self):
        return self.model(**self.first, use_cache=True)

    def decode(self):
        return self.model(**self.second, use_cache=True, **{self.field: deepcopy(self.cache)})

    def peak(self, call, given):
        parameters = {id(t): t for t in (*self.model.parameters(), *self.model.buffers())}
        return nbytes(list(parameters.values())) + nbytes(given) + peaks(call).tensors


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_calls_and_cache_are_those_of_real_ones(name):
    found = cnncost.serving(f"hf:{name}", context=CONTEXT, batch=BATCH, model_args=ARCHITECTURES[name])
    with torch.no_grad():
        real = Conversation(name, built(name))
        counts = []
        for call in (real.prefill, real.decode):
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                out = call()
            counts.append(counter.get_total_flops() // 2)
        expected = [real.peak(real.prefill, real.first), real.peak(real.decode, real.second)]
    # torch's counter knows no product of groups: a token's experts are added by hand
    experts = [tokens * EXPERTS.get(name, 0) for tokens in (BATCH * CONTEXT, BATCH)]
    macs = [found.prefill.totals.macs, found.decode.totals.macs]
    assert macs == [count + more for count, more in zip(counts, experts, strict=True)]
    assert found.cache_nbytes == nbytes(real.cache)
    assert found.cache.bytes_per_token * BATCH == nbytes(out[real.field]) - nbytes(real.cache)
    assert [r.memory.inference_peak for r in (found.prefill, found.decode)] == pytest.approx(expected, rel=0.001)


@pytest.mark.parametrize(
    ("arguments", "context", "expected"),
    [
        pytest.param(
            {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
             "num_key_value_heads": 8, "vocab_size": 128256},
            2048, (131_072, 2048 * 131_072, 8_041_791_488), id="Llama-3-8B",
        ),
        pytest.param(
            {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
             "num_key_value_heads": 32, "vocab_size": 32000},
            1024, (524_288, 1024 * 524_288, 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 1025 * 4096) + 32000 * 4096),
            id="Llama-2-7B",
        ),
    ],
)  # fmt: skip
def test_published_caches(arguments, context, expected):
    found = cnncost.serving("hf:llama", context=context, dtype="bf16", model_args=arguments)
    assert (found.cache.bytes_per_token, found.cache.nbytes, found.decode.totals.macs) == expected


def test_mistrals_cache_ends_at_its_window():
    """The version at hand keeps one token less than the window: the next one is added before it is looked at."""
    arguments = {"num_hidden_layers": 2, "sliding_window": 4096}  # 8 heads of 128, as in the 7B model's 32 layers
    each = 2 * 2 * 8 * 128 * 2
    below, beyond = (
        cnncost.serving("hf:mistral", context=n, dtype="bf16", model_args=arguments).cache for n in (1000, 9000)
    )
    assert (below.bytes_per_token, below.nbytes) == (each, 1000 * each)
    assert (beyond.bytes_per_token, beyond.nbytes) == (0, 4095 * each)
    assert beyond.kept_alive >= beyond.nbytes


def test_logits_of_the_last_token_alone_are_what_generate_computes():
    arguments = ARCHITECTURES["llama"]
    whole, last = (
        cnncost.serving("hf:llama", context=12, model_args=arguments, last_logits=flag).prefill.totals.macs
        for flag in (False, True)
    )
    assert whole - last == 11 * arguments["hidden_size"] * arguments["vocab_size"]
