"""Decoders of Transformers given a cache, a batch of an own class, and masks: objects that forward writes to."""

from __future__ import annotations

from typing import Any

import torch

from library_cases.case import Case, Cases

PACKAGES = ("transformers", "accelerate")

GROWS = "the real runs between the first analysis and the second fill the cache that is given"


def cases() -> Cases:
    import transformers as t

    ids = torch.randint(30, (1, 6))

    def llama(**more: Any) -> Any:
        return t.LlamaForCausalLM(
            t.LlamaConfig(
                vocab_size=30,
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=32,
                **more,
            )
        )

    def cached(kind: str) -> Case:
        model = llama()
        if kind == "static":
            cache = t.StaticCache(config=model.config, max_cache_len=16)
        else:
            cache = t.DynamicCache(config=model.config)
            model(ids, past_key_values=cache, use_cache=True)
        return Case(
            model,
            (),
            {
                "input_ids": ids[:, :1].clone(),
                "past_key_values": cache,
                "use_cache": True,
                "cache_position": torch.tensor([6]),
            }
            if kind == "static"
            else {"input_ids": ids[:, :1].clone(), "past_key_values": cache, "use_cache": True},
            why="" if kind == "static" else GROWS,
        )

    yield "Llama", lambda: Case(llama(), (ids.clone(),))
    yield "Llama eager", lambda: Case(llama(attn_implementation="eager"), (ids.clone(),))
    yield "Llama, labels", lambda: Case(llama(), (), {"input_ids": ids.clone(), "labels": ids.clone()})
    yield (
        "Llama, an empty DynamicCache",
        lambda: Case(
            llama(),
            (),
            {"input_ids": ids.clone(), "past_key_values": t.DynamicCache(), "use_cache": True},
            why=GROWS,
        ),
    )
    yield "Llama, a filled DynamicCache", lambda: cached("dynamic")
    yield "Llama, a StaticCache", lambda: cached("static")
    yield (
        "Bert, a BatchEncoding",
        lambda: Case(
            t.BertModel(
                t.BertConfig(
                    vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
                )
            ),
            (),
            dict(t.BatchEncoding({"input_ids": ids.clone(), "attention_mask": torch.ones(1, 6, dtype=torch.long)})),
        ),
    )
    yield "T5, encoder outputs", lambda: _t5(t, ids)
    yield (
        "Mixtral",
        lambda: Case(
            t.MixtralForCausalLM(
                t.MixtralConfig(
                    vocab_size=30,
                    hidden_size=16,
                    intermediate_size=16,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    num_key_value_heads=1,
                    num_local_experts=4,
                )
            ),
            (ids.clone(),),
        ),
    )
    yield (
        "Mamba",
        lambda: Case(
            t.MambaForCausalLM(t.MambaConfig(vocab_size=30, hidden_size=16, state_size=4, num_hidden_layers=1)),
            (ids.clone(),),
        ),
    )
    yield (
        "Mamba2",
        lambda: Case(
            t.Mamba2ForCausalLM(
                t.Mamba2Config(
                    vocab_size=30,
                    hidden_size=16,
                    state_size=4,
                    num_hidden_layers=1,
                    num_heads=4,
                    head_dim=8,
                    n_groups=1,
                    chunk_size=4,
                )
            ),
            (ids.clone(),),
        ),
    )
    yield (
        "RecurrentGemma",
        lambda: Case(
            t.RecurrentGemmaForCausalLM(
                t.RecurrentGemmaConfig(
                    vocab_size=30,
                    hidden_size=16,
                    intermediate_size=24,
                    num_hidden_layers=3,
                    num_attention_heads=2,
                    lru_width=16,
                    attention_window_size=8,
                )
            ),
            (ids.clone(),),
        ),
    )
    yield (
        "Wav2Vec2",
        lambda: Case(
            t.Wav2Vec2Model(
                t.Wav2Vec2Config(
                    hidden_size=16,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    intermediate_size=16,
                    conv_dim=(8, 8),
                    conv_stride=(5, 2),
                    conv_kernel=(10, 3),
                    num_feat_extract_layers=2,
                    num_conv_pos_embeddings=4,
                    num_conv_pos_embedding_groups=2,
                    feat_extract_norm="layer",
                )
            ),
            (torch.rand(1, 400),),
        ),
    )


def _t5(t: Any, ids: torch.Tensor) -> Case:
    model = t.T5ForConditionalGeneration(
        t.T5Config(vocab_size=30, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
    )
    encoded = t.modeling_outputs.BaseModelOutput(last_hidden_state=torch.rand(1, 6, 16))
    return Case(model, (), {"encoder_outputs": encoded, "decoder_input_ids": ids.clone()})
