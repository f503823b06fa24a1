"""openai-whisper, with two layers."""

from __future__ import annotations

import torch
from torch import nn

from library_cases.case import Case, Cases

PACKAGES = ("!openai-whisper", "tiktoken", "numba", "more-itertools", "requests", "tqdm")


def cases() -> Cases:
    from whisper.model import ModelDimensions, MultiHeadAttention, ResidualAttentionBlock, Whisper

    def model() -> Whisper:
        return Whisper(ModelDimensions(8, 20, 16, 2, 2, 50, 12, 16, 2, 2))

    mel, tokens = torch.rand(1, 8, 40), torch.randint(50, (1, 6))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whisper = model()

        def forward(self, mel):
            return self.whisper.embed_audio(mel)

    class Cached(nn.Module):
        """Two steps of decoding with the hooks that whisper installs for its cache."""

        def __init__(self) -> None:
            super().__init__()
            self.whisper = model()

        def forward(self, mel, tokens):
            audio = self.whisper.embed_audio(mel)
            cache, hooks = self.whisper.install_kv_cache_hooks()
            first = self.whisper.decoder(tokens, audio, kv_cache=cache)
            second = self.whisper.decoder(first[:, -1:].argmax(-1), audio, kv_cache=cache)
            for hook in hooks:
                hook.remove()
            return second

    yield "Whisper", lambda: Case(model(), (mel.clone(), tokens.clone()))
    yield "Whisper by name", lambda: Case(model(), (), {"mel": mel.clone(), "tokens": tokens.clone()})
    yield "AudioEncoder", lambda: Case(model().encoder, (mel.clone(),))
    yield "TextDecoder", lambda: Case(model().decoder, (tokens.clone(), torch.rand(1, 20, 16)))
    yield "embed_audio", lambda: Case(Encoder(), (mel.clone(),))
    yield "with cache hooks", lambda: Case(Cached(), (mel.clone(), tokens.clone()))
    yield "MultiHeadAttention", lambda: Case(MultiHeadAttention(16, 2), (torch.rand(1, 5, 16),))
    yield (
        "ResidualAttentionBlock",
        lambda: Case(ResidualAttentionBlock(16, 2, cross_attention=True), (torch.rand(1, 5, 16), torch.rand(1, 7, 16))),
    )
