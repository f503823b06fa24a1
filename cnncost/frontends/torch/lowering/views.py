"""Layout ops: torch's names for views and copies.

Ops without moves in `moves.py` (`as_strided`, `diag_embed`, `meshgrid`, …) cost the same; their moves are unknown.
"""

from __future__ import annotations

from cnncost.frontends.torch.lowering import moves as _moves  # noqa: F401  # registers the moves
from cnncost.frontends.torch.lowering.registry import Lowered, OpCall, known_moves, lower_layout, lowers

_LAYOUT = """
as_strided view_as_real view_as_complex meshgrid set resize resize_as item
_local_scalar_dense is_nonzero equal is_same_size _has_same_storage_numel sym_size sym_stride sym_numel _assert_async
_assert_scalar _assert_tensor_metadata _linalg_check_errors cartesian_prod combinations lu_unpack _chunk_cat
"""
"""Ops without moves: views and copies, and ops that only read metadata or check values."""
_ZEROING = "tril triu _pad_enum fill_diagonal diag diag_embed diagflat block_diag"
"""Ops that set elements to a constant (mostly zero) or add zeros, which their moves don't express."""
_COPIES = """
_reshape_copy _to_copy alias_copy detach_copy diagonal_copy expand_copy lift_fresh_copy permute_copy select_copy
slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy unbind_copy unsqueeze_copy view_copy
"""
"""Copies that are lowered by name; other `_copy` ops are recognized by the tag `view_copy`."""
_WITH_MOVES = {name for name in known_moves() if not name.endswith("_copy")}
_DENSIFYING = {"to_dense", "_to_dense"}


@lowers(*_LAYOUT.split(), *_COPIES.split(), *(_WITH_MOVES - {*_ZEROING.split(), *_DENSIFYING, "roll"}))
def layout(call: OpCall) -> Lowered:
    """A view, or a copy in another order."""
    return lower_layout(call, call.moves)


@lowers("roll")
def rolled(call: OpCall) -> Lowered:
    """shifts, dims. The kernel rolls by one axis after the other, and holds every result until the last is done."""
    kind, attrs = lower_layout(call, call.moves)
    dims, x = call.get("dims") or (), call["self"]
    if not isinstance(dims, int) and len(dims) > 1:
        attrs = {**attrs, "scratch": (len(dims) - 1) * x.numel() * x.element_size()}
    return kind, attrs


@lowers(*_ZEROING.split())
def zeroing(call: OpCall) -> Lowered:
    """Some elements of the result are constant, whatever the input."""
    kind, attrs = lower_layout(call, call.moves)
    return kind, {**attrs, "zeroes": True}


@lowers(*_DENSIFYING)
def densifying(call: OpCall) -> Lowered:
    """A sparse tensor converted to a dense one, which stores its zeros."""
    kind, attrs = lower_layout(call, call.moves)
    return kind, {**attrs, "densifies": True}
