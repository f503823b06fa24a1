"""Networks for EEG signals: tensors of a trial, 1-D and 2-D convolutions mixed with attention."""

from __future__ import annotations

import torch

from library_cases.case import Case, Cases

PACKAGES = (
    "!braindecode",
    "!skorch",
    "mne",
    "h5py",
    "scipy",
    "pandas",
    "einops",
    "!linear_attention_transformer",
    "!docstring_inheritance",
    "wfdb",
    "torchinfo",
    "tabulate",
    "!mne-bids",
    "!rotary-embedding-torch",
    "!axial-positional-embedding",
    "!product-key-memory",
)


def cases() -> Cases:
    import braindecode.models as b

    for name in (
        "EEGNet",
        "ShallowFBCSPNet",
        "Deep4Net",
        "EEGConformer",
        "ATCNet",
        "EEGITNet",
        "EEGInceptionERP",
        "EEGInceptionMI",
        "EEGNeX",
        "TIDNet",
        "TSception",
        "SPARCNet",
        "FBCNet",
        "SCCNet",
        "CTNet",
        "IFNet",
        "BIOT",
        "AttentionBaseNet",
        "SincShallowNet",
        "EEGSimpleConv",
        "HybridNet",
    ):
        yield (
            name,
            lambda name=name: Case(
                getattr(b, name)(n_chans=8, n_outputs=2, n_times=500, sfreq=250), (torch.rand(1, 8, 500),)
            ),
        )
