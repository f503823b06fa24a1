"""Differences between torch versions that results or code depend on.

Each constant is named after one version's behavior. Its docstring gives the version that brought the change, and the
change in torch. `tests/versions/facts.py` lists what tests expect by version.
"""

from __future__ import annotations

import torch

from cnncost import versions

INSTALLED = versions.numbers(torch.__version__) or versions.NEWEST
"""The installed torch version, such as (2, 13). A build with an unreadable version counts as the newest tested one."""


def since(*version: int) -> bool:
    """True if the installed torch is this version or later."""
    return version <= INSTALLED


ATTENTION_TAKES_THREE_AXES = since(2, 14)
"""2.14: before a kernel is chosen, inputs with three axes get a batch axis of size 1
(`normalize_unbatched_input` in sdp_utils_cpp.h)."""

ATTENTION_BROADCASTS_ONE_HEAD = since(2, 14)
"""2.14: kernels accept a single head of keys and values for all query heads, even without `enable_gqa`
(`supports_mqa` of `check_batch_size_and_num_heads_dense`; pytorch pull request 191085)."""

EFFICIENT_ATTENTION_TAKES_GROUPS = since(2, 14)
"""2.14: CUDA's memory-efficient kernel accepts fewer key and value heads than query heads (the same change)."""

ONEDNN_KEEPS_STATES_ONCE = since(2, 11)
"""2.11, with oneDNN 3.10.2 instead of 3.7.1: a recurrent layer's workspace has one buffer of hidden states; before,
`set_offsets` (src/cpu/rnn/rnn_utils.cpp) also registered two buffers that no kernel reads."""

LSTM_UNPACKS_EQUAL_LENGTHS = since(2, 13)
"""2.13: packed sequences of equal length use oneDNN's kernel, as unpacked ones do; before, an LSTM ran each of their
steps separately (`lstm` of packed data in ATen's native/RNN.cpp)."""

AUTOCAST_KEEPS_CASTS_OF_INFERENCE = not since(2, 11)
"""2.11: casts of weights are no longer cached under `torch.inference_mode` (`cached_cast` in autocast_mode.cpp)."""

AUTOCAST_CASTS_WITH_GRADIENTS = since(2, 11)
"""2.11: cached casts of weights are differentiable, even if the first use is under `torch.no_grad`; before, this
depended on the grad mode at the first use (`cached_cast` in autocast_mode.cpp; pytorch pull request 165068). Without
gradients, `matmul` expands a weight instead of copying rows that are not contiguous (`should_fold` in
LinearAlgebra.cpp)."""

TRACED_CONVOLUTIONS_RUN_ON_META = since(2, 13)
"""2.13: `_convolution`, which traced modules call, works on meta tensors; before, it required a backend's own kernel
(`convolution_overrideable`)."""

CONVOLUTION_GRADIENTS_KEEP_MEMORY_FORMAT = since(2, 12)
"""2.12: gradients on meta are channels last if the input or the weight is, as those of real kernels are. 2.11 took the
output's gradient into account as well; earlier versions always returned contiguous ones (`meta_convolution_backward`;
pytorch issue 171622)."""

WEIGHT_NORM_HAS_GRADIENTS_ON_META = since(2, 10)
"""2.10: `_weight_norm_interface_backward` works on meta tensors (`meta_weight_norm_backward`)."""

GROUP_NORM_COPIES_INSIDE = since(2, 14)
"""2.14: the kernel of group norm's backward makes the gradient contiguous itself, in a workspace; before, autograd's
formula did, and the copy was a tensor (`native_group_norm_backward` in group_norm.cpp; pytorch pull request 186414)."""

BOUNDS_SHARE_GRADIENTS = since(2, 14)
"""2.14: `clamp`, `maximum`, `minimum`, `fmax` and `fmin` give each of two equal operands half of the gradient, which
formulas mask in place (`masked_fill_inplace_if_safe` in derivatives.yaml; pytorch pull requests 191142, 193035)."""

QUANTILES_ARE_SELECTED = since(2, 14)
"""2.14: on a CPU, `quantile` and `nanquantile` select the few elements that they need; before, and with a dispatch mode
on, they sort (`quantile_compute` in Sorting.cpp; pytorch pull request 188394)."""

PIPELINE_ALLOCATES_BUFFERS_PER_RECEIVE = since(2, 15)
"""2.15: a pipeline's stage allocates a buffer when it receives, and frees it after computing with it; before, it kept
one for each microbatch from step to step. Outputs are freed once they are sent (torch/distributed/pipelining:
`_RecvInfo.take_buffer` in _recv_buffers.py, `release_fwd_send_outputs` in stage.py)."""

COLLECTIVES_HAVE_DERIVATIVES_ON_META = since(2, 13)
"""2.13: functional collectives with derivatives have meta kernels; before, they only had an autograd kernel
(`_c10d_functional_autograd` in torch/csrc/distributed/c10d/Functional.cpp, now in _functional_collectives.py)."""

CONTEXT_PARALLEL_RESTORES_AFTER_ERRORS = since(2, 13)
"""2.13: `context_parallel` restores attention even if an error ends it (torch/distributed/tensor/experimental:
`try … finally` in `context_parallel`)."""

PIPELINE_FREES_INPUT_GRADIENTS = since(2, 10)
"""2.10: after backward, a pipeline's stage keeps the gradient of its input only to send it; before, the input's buffer
held it until the next step (torch/distributed/pipelining/_backward.py: `val.grad = None` in `stage_backward`)."""
