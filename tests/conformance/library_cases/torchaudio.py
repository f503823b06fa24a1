"""torchaudio's models and transforms, with few layers."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = ("!torchaudio==2.11.0",)


def cases() -> Cases:
    import torchaudio.models as m
    import torchaudio.transforms as t

    wave = torch.rand(1, 1600)
    lengths = torch.tensor([12, 8])
    yield "Conformer", lambda: Case(m.Conformer(8, 2, 16, 2, 3), (torch.rand(2, 12, 8), lengths.clone()))
    yield "ConvTasNet", lambda: Case(m.ConvTasNet(2, 4, 8, 3, 8, 8, 2, 1), (torch.rand(1, 1, 200),))
    yield "DeepSpeech", lambda: Case(m.DeepSpeech(8, 16, 5), (torch.rand(1, 1, 10, 8),))
    yield "Wav2Letter", lambda: Case(m.Wav2Letter(5, "mfcc", 8), (torch.rand(1, 8, 60),))
    yield (
        "WaveRNN",
        lambda: Case(
            m.WaveRNN([2, 2], 4, 4, n_res_block=1, n_rnn=8, n_fc=8, kernel_size=3, n_freq=4, n_hidden=8, n_output=8),
            (torch.rand(1, 1, 16), torch.rand(1, 1, 4, 6)),
        ),
    )
    yield (
        "Tacotron2",
        lambda: Case(
            m.Tacotron2(
                n_mels=8,
                n_symbol=10,
                symbol_embedding_dim=8,
                encoder_embedding_dim=8,
                encoder_n_convolution=1,
                encoder_kernel_size=3,
                attention_rnn_dim=8,
                attention_hidden_dim=8,
                attention_location_n_filter=4,
                attention_location_kernel_size=3,
                decoder_rnn_dim=8,
                prenet_dim=8,
                postnet_n_convolution=2,
                postnet_kernel_size=3,
                postnet_embedding_dim=8,
            ),
            (torch.randint(10, (2, 6)), torch.tensor([6, 5]), torch.rand(2, 8, 4), torch.tensor([4, 3])),
        ),
    )
    yield (
        "HDemucs",
        lambda: Case(
            m.HDemucs(["a", "b"], audio_channels=1, channels=4, nfft=256, depth=4, freq_emb=0.2),
            (torch.rand(1, 1, 2048),),
        ),
    )
    yield (
        "Emformer",
        lambda: Case(
            m.Emformer(8, 2, 16, 1, segment_length=4, right_context_length=1),
            (torch.rand(2, 9, 8), torch.tensor([8, 6])),
        ),
    )
    yield (
        "RNNT",
        lambda: Case(
            m.RNNT(*_rnnt()),
            (torch.rand(1, 12, 8), torch.tensor([12]), torch.randint(5, (1, 4)), torch.tensor([4], dtype=torch.int32)),
        ),
    )
    yield (
        "wav2vec2",
        lambda: Case(
            m.wav2vec2_model(
                "group_norm", [(8, 10, 5), (8, 3, 2)], False, 16, 0.0, 8, 2, 1, 2, 0.0, 16, 0.0, 0.0, False, 0.0, 5
            ),
            (wave.clone(),),
        ),
    )
    yield (
        "wav2vec2 lengths",
        lambda: Case(
            m.wav2vec2_model(
                "layer_norm", [(8, 10, 5), (8, 3, 2)], True, 16, 0.0, 8, 2, 1, 2, 0.0, 16, 0.0, 0.0, True, 0.0, None
            ),
            (torch.rand(2, 1600), torch.tensor([1600, 1200])),
        ),
    )
    yield "SquimObjective", lambda: Case(m.squim_objective_base(), (torch.rand(1, 800),))
    for name, build in {
        "Spectrogram": lambda: t.Spectrogram(n_fft=64),
        "MelSpectrogram": lambda: t.MelSpectrogram(n_fft=64, n_mels=8),
        "MFCC": lambda: t.MFCC(n_mfcc=4, melkwargs={"n_fft": 64, "n_mels": 8}),
        "LFCC": lambda: t.LFCC(n_lfcc=4, n_filter=8, speckwargs={"n_fft": 64}),
        "Resample": lambda: t.Resample(160, 80),
        "AmplitudeToDB": t.AmplitudeToDB,
        "Vol": lambda: t.Vol(0.5),
        "MuLawEncoding": t.MuLawEncoding,
        "Fade": lambda: t.Fade(10, 10),
        "SpectralCentroid": lambda: t.SpectralCentroid(160, n_fft=64),
        "PitchShift": lambda: t.PitchShift(160, 2, n_fft=64),
    }.items():
        yield name, lambda build=build: Case(build(), (wave.clone(),))
    yield "GriffinLim", lambda: Case(t.GriffinLim(n_fft=64, n_iter=2), (torch.rand(1, 33, 10),))
    yield "InverseMelScale", lambda: Case(t.InverseMelScale(33, n_mels=8), (torch.rand(1, 8, 10),))
    yield (
        "TimeStretch",
        lambda: Case(t.TimeStretch(n_freq=33, fixed_rate=1.2), (torch.rand(1, 33, 10, dtype=torch.complex64),)),
    )
    yield "PSD and MVDR", lambda: Case(_Beam(t), (torch.rand(2, 5, 6, dtype=torch.complex64), torch.rand(5, 6)))


def _rnnt():
    from torchaudio.models.rnnt import _Joiner, _Predictor

    return _Transcriber(), _Predictor(5, 8, 8, 1, 8, False, 0.0), _Joiner(8, 5)


class _Transcriber(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = torch.nn.Linear(8, 8)

    def forward(self, input, lengths):  # noqa: A002  # so RNNT names it
        return self.lin(input), lengths


class _Beam(torch.nn.Module):
    def __init__(self, t) -> None:
        super().__init__()
        self.psd, self.souden = t.PSD(), t.SoudenMVDR()

    def forward(self, spectrum, mask):
        speech, noise = self.psd(spectrum, mask), self.psd(spectrum, 1 - mask)
        return self.souden(spectrum, speech, noise, 0)
