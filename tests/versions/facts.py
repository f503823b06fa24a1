"""What tests expect of one version of torch and not of another, each with the change in torch that makes it so.

Written down apart from `cnncost.frontends.torch.compat`, which tests judge by this.
"""

from __future__ import annotations

import gc
import re
import sys

import torch

AT = tuple(map(int, re.match(r"(\d+)\.(\d+)", torch.__version__).groups()))
"""Torch at hand, as (2, 13)."""


def since(*version):
    """Whether torch at hand is of this version or a later one."""
    return version <= AT


# ---- attention

FUSED_ATTENTION_WITHOUT_BATCH = since(2, 14)
"""Kernels of attention take three axes, as a batch of one (sdp_utils_cpp.h: `normalize_unbatched_input`; pytorch
#192271)."""

FUSED_ATTENTION_BROADCASTS_A_HEAD = since(2, 14)
"""Kernels of attention take one head of keys and values for all of the queries', without `enable_gqa` (`supports_mqa`;
pytorch #191085)."""

EFFICIENT_ATTENTION_GROUPS = since(2, 14)
"""CUDA's memory-efficient kernel takes grouped queries (`requires_same_num_heads` is false; pytorch #191085)."""

# ---- autocast

AUTOCAST_OPS_NOT_IN_HEADER = {
    "norm.Scalar", "norm.ScalarOpt_dim", "binary_cross_entropy", "cudnn_convolution", "cudnn_convolution_transpose",
    *([] if since(2, 13) else ["norm.names_ScalarOpt_dim"]),  # axes by name, which are gone
    *(["_cudnn_rnn"] if torch.version.cuda else []),  # cudnn/AutocastRNN.cpp, in builds with CUDA
    *(["linalg_matrix_sqrth"] if since(2, 14) else []),  # a new op; in libtorch_cpu: WrapFunction_<CastPolicy fp32>
}  # fmt: skip
"""Ops that CUDA's autocast knows by autocast_mode.cpp or another file, not by the lists of autocast_mode.h."""

# ---- devices

FAKE_BATCH_NORM_IS_CUDNNS = torch.version.cuda is not None
"""By the build: on a fake device, builds with CUDA choose `cudnn_batch_norm`, whose statistics are empty in inference;
others take torch's formula for GPUs, which returns a mean and a deviation (`_select_batch_norm_backend`)."""


def set_default_device(device):
    """`torch.set_default_device`. After None, 2.9 can't be asked for the device until another is set: its
    `get_default_device` looks for the attribute, 2.10's at what it is."""
    torch.set_default_device(device)
    if device is None and not since(2, 10):
        del torch._GLOBAL_DEVICE_CONTEXT.device_context


# ---- dtypes

DTYPES_NOT_YET_IN_TORCH = set() if since(2, 14) else {"bcomplex32"}
"""2.14 brought pairs of bfloat16."""

INFERENCE_CASTS_EACH_TIME = since(2, 11)
"""Autocast keeps no casts of weights under `torch.inference_mode` (autocast_mode.cpp: `cached_cast`)."""

CASTS_ALWAYS_HAVE_GRADIENTS = since(2, 11)
"""Casts of weights that autocast keeps have gradients though `torch.no_grad` was on at the first use
(autocast_mode.cpp: `cached_cast`; pytorch #165068)."""

# ---- memory

_KEPT_CASTS = {
    "LSTM of cells": ("4.94 MiB", "5.17 MiB"), "nn.LSTM, unfused": ("1.94 MiB", "3.74 MiB"),
    "AlexNet": ("358 MiB", "362 MiB"), "VGG-11": ("761 MiB", "765 MiB"), "ResNet-18": ("67.5 MiB", "76.8 MiB"),
    "ResNet-50": ("147 MiB", "158 MiB"), "MobileNetV2": ("20.7 MiB", "57.9 MiB"),
    "DenseNet-121": ("46.6 MiB", "78.9 MiB"),
}  # fmt: skip

OTHER_PEAKS = {
    **({} if INFERENCE_CASTS_EACH_TIME else {
        (name, batch, "inference", True): peak
        for name, peaks in _KEPT_CASTS.items() for batch, peak in zip("18", peaks, strict=True)
    }),
    **({} if since(2, 11) else {  # oneDNN 3.7.1, whose workspace has parts for hidden states twice (`set_offsets`)
        ("nn.LSTM", "1", "training step", False): "9.63 MiB", ("nn.LSTM", "8", "training step", False): "40.0 MiB",
        ("nn.LSTM", "1", "training step", True): "10.3 MiB", ("nn.LSTM", "8", "training step", True): "30.5 MiB",
    }),
}  # fmt: skip
"""Peaks that are not those of reports/memory.md, by network, batch, run and whether under autocast: what the allocator
had out at once on 2.9.1 (`measure` of tests/memory_report.py)."""


QUANTILES_ARE_SELECTED = since(2, 14)
"""A CPU's `quantile` sorts no longer, unless a dispatch mode is on (`quantile_select_indices_cpu`; pytorch #188394)."""


def save(tensor, path):
    """`torch.save`. 2.9's leaves the tensor to the garbage collector: a class that it defines at each call holds the
    closure that has all storages (serialization.py: `_save`, which deletes `persistent_id` since 2.10)."""
    torch.save(tensor, path)
    if not since(2, 10):
        gc.collect()


# ---- ops

grouped_mm = torch.nn.functional.grouped_mm if since(2, 10) else torch._grouped_mm
"""Public since 2.10."""

DETACH_IS_DISPATCHED_ONCE = since(2, 10)
"""A mode sees one `detach` where 2.9 shows two, such as of each gradient that becomes a parameter's
(VariableTypeManual.cpp; pytorch #163671)."""

CROSS_ENTROPY_OF_A_PROJECTION = since(2, 13)
"""`torch.nn.functional.linear_cross_entropy` and its ops, `torch_nn::_linear_cross_entropy_…`, are of 2.13."""

# ---- split models

PIPELINES_WARM_UP_OVER_GLOO = since(2, 12)
"""Neighbours greet each other before the first step. Up to 2.11 a rank greets itself if it has two stages that follow
each other, which gloo can't do, and 2.9 sends an int64 and receives a float32, at which gloo aborts the process: there
no schedule runs on CPUs as it is (`_get_init_p2p_neighbors_ops` in pipelining/stage.py; since 2.12 `_warmup_p2p`)."""

PIPELINES_SEND_WITHIN_A_RANK = not since(2, 10)
"""2.9 sends from a stage to the next also if both are on one rank, as in V-shaped schedules: gloo fails at that. 2.10
runs these schedules by lists of actions, which hand a tensor over (pipelining/schedules.py: `_PipelineScheduleRuntime`
is the base of all)."""

WAITS_WARN_IN_BACKWARD = not since(2, 11)
"""Torch warns in backward, of a real run as well, that the wait for a functional collective has no derivative. 2.11
registers one (`register_autograd` of `_c10d_functional::wait_tensor` in distributed/_functional_collectives.py)."""

# ---- Python

PROPERTIES_OF_MODULES_ARE_OVERLOOKED = sys.version_info >= (3, 14)
"""Code that has run a few times reads a module's attribute from its dictionary, even if the module's class has a
property of that name (the specialized instruction LOAD_ATTR_MODULE): Python itself takes the value from before."""
