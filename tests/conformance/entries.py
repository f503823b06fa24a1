"""The models of the conformance run: all of timm's, all of torchvision's, and architectures of Transformers."""

from __future__ import annotations

from typing import Any, NamedTuple

ZOOS = ("timm", "torchvision", "transformers")

ARCHITECTURES = {
    "encoder": """
        bert roberta distilbert albert electra deberta deberta-v2 mpnet modernbert nomic_bert convbert squeezebert
        mobilebert fnet funnel roformer xlnet camembert xlm-roberta layoutlm eurobert ernie esm longformer
    """,
    "decoder": """
        gpt2 gpt_neo gpt_neox gptj opt bloom falcon mpt llama mistral qwen2 qwen3 phi phi3 gemma gemma2 gemma3_text
        stablelm starcoder2 olmo olmo2 cohere granite codegen biogpt smollm3 glm nemotron openai-gpt ctrl xglm
    """,
    "encoder-decoder": "t5 mt5 bart mbart pegasus blenderbot m2m_100 marian longt5 led prophetnet umt5",
    "mixture of experts": """
        mixtral qwen2_moe qwen3_moe olmoe phimoe deepseek_v2 deepseek_v3 gpt_oss granitemoe ernie4_5_moe glm4_moe
        minimax jetmoe switch_transformers
    """,
    "state space": "mamba mamba2 falcon_mamba recurrent_gemma rwkv jamba bamba zamba xlstm",
    "vision": """
        vit deit beit swin swinv2 convnext convnextv2 dinov2 dinov3_vit hiera ijepa vit_mae vit_msn pvt pvt_v2
        poolformer mobilevit mobilenet_v2 resnet regnet efficientnet levit focalnet cvt bit segformer dpt detr yolos
        conditional_detr videomae vivit timesformer vjepa2 depth_anything glpn swiftformer
    """,
    "audio": """
        wav2vec2 hubert wavlm unispeech sew whisper audio-spectrogram-transformer wav2vec2-conformer data2vec-audio
        speech_to_text encodec
    """,
    "multimodal": """
        clip siglip siglip2 blip git vilt chinese_clip altclip align clipseg owlvit groupvit xclip flava llava
        qwen2_vl qwen2_5_vl paligemma gemma3 internvl idefics3_vision
    """,
    "time series": "patchtst patchtsmixer timesfm",
}  # fmt: skip
"""By what they are; each is the architecture's own default configuration."""


ARGUMENTS: dict[str, dict[str, Any]] = {
    "hf:esm": {"vocab_size": 33, "pad_token_id": 1},
    "hf:nemotron": {"num_key_value_heads": 48},
    "hf:deepseek_v2": {"num_experts_per_tok": 6, "moe_intermediate_size": 1408},
    "hf:bamba": {"attn_layer_indices": [9, 18, 27]},
    "hf:qwen2_vl": {"vision_config": {"hidden_size": 8192}},
    "hf:qwen2_5_vl": {"vision_config": {"out_hidden_size": 8192}},
    "hf:gemma3": {"vision_config": {"image_size": 896, "patch_size": 14}},
    "hf:jetmoe": {"num_hidden_layers": 2},
    "torchvision:quantized_inception_v3": {"aux_logits": True},
}
"""Where a default configuration lacks a figure, or its parts don't fit; where weights are needed that would not fit
into memory; and where a published count is of the model with its auxiliary classifier."""


class Entry(NamedTuple):
    """A model to analyze.

    Attributes:
        zoo: of `ZOOS`.
        model: its specification.
        family: of its kin, for the sample and the summary.
        weights: torchvision's entry whose published figures it has.
        params, giga_macs: published, or None.
    """

    zoo: str
    model: str
    family: str
    weights: str = ""
    params: int | None = None
    giga_macs: float | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """For the model's factory."""
        return {**({"weights": self.weights} if self.weights else {}), **ARGUMENTS.get(self.model, {})}

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.model} {self.weights}".strip()


def entries(zoo: str) -> list[Entry]:
    """All models of a zoo."""
    return {"timm": _timm, "torchvision": _torchvision, "transformers": _transformers}[zoo]()


def sample(found: list[Entry]) -> list[Entry]:
    """One of each family: the first."""
    first: dict[tuple[str, str], Entry] = {}
    for entry in found:
        first.setdefault((entry.zoo, entry.family), entry)
    return list(first.values())


def _timm() -> list[Entry]:
    import timm

    return [Entry("timm", f"timm:{name}", _module(timm.model_entrypoint(name))) for name in timm.list_models()]


def _module(function: object) -> str:
    return str(getattr(function, "__module__", "")).rpartition(".")[2]


def _torchvision() -> list[Entry]:
    from torchvision import models

    found = []
    for name in models.list_models():
        builder = models.get_model_builder(name)
        task = builder.__module__.split(".")[-2]
        family = f"{task if task != 'models' else 'classification'}/{_module(builder)}"
        known = list(models.get_model_weights(name).__members__.values())
        for weights in {id(w): w for w in known}.values():
            if weights.name == "DEFAULT":
                continue
            meta = weights.meta
            found.append(
                Entry("torchvision", f"torchvision:{name}", family, weights.name, meta["num_params"], meta["_ops"])
            )
        if not known:
            found.append(Entry("torchvision", f"torchvision:{name}", family))
    return found


def _transformers() -> list[Entry]:
    return [
        Entry("transformers", f"hf:{name}", family) for family, names in ARCHITECTURES.items() for name in names.split()
    ]
