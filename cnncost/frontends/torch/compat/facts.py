"""What torch does otherwise from one version to the next, as far as a figure or a program hangs on it.

Each fact is named after what newer versions do. Beside it: the first version that does so, and the change in torch.
`tests/versions/facts.py` has what tests expect by version; the tests of each subject hold these against the torch
that runs.
"""

from __future__ import annotations

import torch

from cnncost import versions

AT = versions.numbers(torch.__version__) or versions.NEWEST
"""Torch at hand, as (2, 13). A build whose version can't be read is taken for the newest that is proved."""


def since(*version: int) -> bool:
    """Whether torch at hand is of this version or a later one."""
    return version <= AT


ATTENTION_TAKES_THREE_AXES = since(2, 14)
"""2.14: three axes get a batch of one (`normalize_unbatched_input` in sdp_utils_cpp.h) before a kernel is chosen."""

ATTENTION_BROADCASTS_ONE_HEAD = since(2, 14)
"""2.14: kernels take one head of keys and values for all queries' heads also without `enable_gqa` (`supports_mqa` of
`check_batch_size_and_num_heads_dense`; pytorch pull request 191085)."""

EFFICIENT_ATTENTION_TAKES_GROUPS = since(2, 14)
"""2.14: CUDA's memory-efficient kernel takes fewer heads of keys and values than of queries (the same change)."""

ONEDNN_KEEPS_STATES_ONCE = since(2, 11)
"""2.11, with oneDNN 3.10.2 in place of 3.7.1: the workspace of a recurrent layer has no more parts for hidden states,
which `set_offsets` (src/cpu/rnn/rnn_utils.cpp) had registered twice beside those that are read."""

LSTM_UNPACKS_EQUAL_LENGTHS = since(2, 13)
"""2.13: packed sequences that are all equally long go to oneDNN's kernel, as those that are not packed do; before, an
LSTM took each step of them by itself (`lstm` of packed data in ATen's native/RNN.cpp)."""

AUTOCAST_KEEPS_CASTS_OF_INFERENCE = not since(2, 11)
"""2.11: casts of weights are not kept any more under `torch.inference_mode` (`cached_cast` in autocast_mode.cpp)."""
