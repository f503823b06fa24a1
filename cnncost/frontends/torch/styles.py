"""Tensor parallelism by a plan, which says in a word how to split each module: by columns, by rows, or not at all.

The words are those of Transformers' `tp_plan`. Most of them stand for a `ParallelStyle` of torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from torch import nn

from cnncost.errors import InputError
from cnncost.frontends.torch.compat.distributed import is_split, settle
from cnncost.near import suggestion

if TYPE_CHECKING:
    from torch.distributed.tensor.parallel import ParallelStyle

_EXAMPLE = "{'blocks.*.up': 'colwise', 'blocks.*.down': 'rowwise'}"
_HEADS = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads", "v_proj": "num_key_value_heads"}
"""By a projection's name, the field of the configuration with its number of heads."""


def _styles() -> dict[str, Callable[[], ParallelStyle]]:
    """Return, for each word, a constructor of the torch style for which it stands.

    Packed weights (gate and up projection in one) are split into contiguous slices: ranks get other values than in
    Transformers, but the same shapes. A norm over single heads, whose input has heads as its third axis, gets only this
    rank's heads.
    """
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, SequenceParallel

    def gathered() -> ParallelStyle:
        return ColwiseParallel(output_layouts=Replicate())

    def of_whole_input() -> ParallelStyle:
        return RowwiseParallel(input_layouts=Replicate())

    return {
        "colwise": ColwiseParallel, "rowwise": RowwiseParallel,
        "packed_colwise": ColwiseParallel, "packed_rowwise": RowwiseParallel,
        "colwise_gather_output": gathered, "colwise_rep": gathered, "embedding_colwise": gathered,
        "rowwise_split_input": of_whole_input, "rowwise_rep": of_whole_input, "embedding_rowwise": of_whole_input,
        "sequence_parallel": SequenceParallel,
        "replicated_with_grad_allreduce": lambda: SequenceParallel(sequence_dim=2, use_local_output=True),
    }  # fmt: skip


_REPLICATED = frozenset({"replicate"})
"""Words for modules that are replicated on all ranks."""
_OURS = frozenset({"moe_tp_experts", "mla_kv_a_proj"})
"""Words for which torch has no style. `own_styles.py` implements them."""
_EVEN = {"colwise": "out_features", "packed_colwise": "out_features", "rowwise": "in_features",
         "packed_rowwise": "in_features"}  # fmt: skip
"""By word, the width (an attribute of the module) that must be divisible by the number of ranks, because the model's
own code computes with a rank's part of it."""
_DIMS = {"colwise": 0, "packed_colwise": 0, "colwise_gather_output": 0, "colwise_rep": 0, "embedding_rowwise": 0,
         "rowwise": 1, "packed_rowwise": 1, "rowwise_split_input": 1, "rowwise_rep": 1,
         "embedding_colwise": 1}  # fmt: skip
"""By word, the axis along which the weight is split."""


def own_plan(model: nn.Module) -> dict[str, str]:
    """Return the `tp_plan` of a Transformers model; empty if the model has none."""
    found = getattr(model, "tp_plan", None)
    return dict(found) if isinstance(found, dict) else {}


def parallelize(model: nn.Module, mesh: Any, plan: Mapping[str, Any] | None) -> None:
    """Split a model's modules over a mesh of one axis, in place.

    Args:
        model: the model.
        mesh: the axis `tp`.
        plan: a word or `ParallelStyle` for each module path, in which `*` matches one name; None: the model's own plan.

    Raises:
        InputError: there is no plan, it has an unknown style or names missing modules, parameters, or modules that
            can't be split in this way, or a width or number of heads is not divisible by the number of ranks.
    """
    from torch.distributed.tensor.parallel import parallelize_module

    whose = type(model).__name__
    words = dict(plan) if plan is not None else own_plan(model)
    if not words:
        raise InputError(
            f"tp: {whose} has no tp_plan as Transformers models do, so it is unknown how to split it; give a plan: "
            f"--plan 'blocks.*.up=colwise' --plan 'blocks.*.down=rowwise', or cnncost.split(model, mesh, "
            f"plan={_EXAMPLE})"
        )
    chosen = _expanded(model, words)
    _check_heads(model, chosen, mesh.size())
    shared = _shared(model, chosen)
    constructors = _styles()
    styles = {
        path: constructors[word]() if isinstance(word, str) else word
        for path, word in chosen.items() if word in constructors or not isinstance(word, str)
    }  # fmt: skip
    styles |= _own_styles(model, words, chosen, mesh.size())
    for path, word in chosen.items():
        _check_width(path, model.get_submodule(path), word, mesh.size())
    parallelize_module(model, mesh, styles)
    for (first, name), others in shared.items():
        for path, other in others:
            setattr(model.get_submodule(path), other, getattr(model.get_submodule(first), name))
    for parameter in filter(is_split, model.parameters()):
        settle(parameter)  # otherwise forward would do it, and the analysis would report that the model has changed


def _expanded(model: nn.Module, plan: dict[str, Any]) -> dict[str, Any]:
    """Return the plan with each pattern replaced by full module paths. Raises InputError as `parallelize` does."""
    from torch.distributed.tensor.parallel import ParallelStyle

    paths = [path for path, _ in model.named_modules()]
    parameters = [path for path, _ in model.named_parameters()]
    torch_words = _styles()
    found: dict[str, Any] = {}
    for pattern, word in plan.items():
        is_word = isinstance(word, str) and word in {*torch_words, *_REPLICATED, *_OURS}
        if not is_word and not isinstance(word, ParallelStyle):
            near = suggestion(word, torch_words) if isinstance(word, str) else ""
            raise InputError(
                f"tp: {pattern}: {word!r} is not a supported style{near}; expected {', '.join(torch_words)} or a torch "
                "ParallelStyle; to give your own plan, use --plan or cnncost.split(…, plan=…)"
            )
        matches = [path for path in paths if path_matches(pattern, path)]
        named = [path for path in parameters if path_matches(pattern, path)]
        if not matches and named and not all(_is_in_experts(path, plan) for path in named):
            raise InputError(
                f"tp: {pattern}: {word}: this is a parameter, but only whole modules can be split; expected a plan for "
                "modules: --plan, or cnncost.split(…, plan=…)"
            )
        if not matches and not named and pattern not in own_plan(model):
            raise InputError(f"tp: plan: {pattern}: no module of this path{suggestion(pattern, paths)}")
        found.update(dict.fromkeys(matches, word))
    return found


def _is_in_experts(path: str, plan: Mapping[str, Any]) -> bool:
    """Return True if a parameter belongs to experts that the plan splits with `moe_tp_experts`."""
    owner = path.rpartition(".")[0]
    return any(word == "moe_tp_experts" and path_matches(pattern, owner) for pattern, word in plan.items())


def _own_styles(model: nn.Module, plan: Mapping[str, Any], chosen: dict[str, Any], ranks: int) -> dict[str, Any]:
    """Return the styles for the words in `_OURS`, by module path. Raises InputError as `parallelize` does."""
    if not _OURS & {word for word in chosen.values() if isinstance(word, str)}:
        return {}
    from cnncost.frontends.torch.own_styles import Experts, RotaryPart, split_axis

    styles: dict[str, Any] = {}
    for path, word in chosen.items():
        module = model.get_submodule(path)
        if word == "moe_tp_experts":
            pairs = product([name for name, _ in module.named_parameters(recurse=False)], plan.items())
            words = {name: style for name, (pattern, style) in pairs if path_matches(pattern, f"{path}.{name}")}
            for name, style in words.items():
                tensor = getattr(module, name)
                axis = split_axis(style, tensor.dim())
                if axis is not None and tensor.shape[axis] % ranks:
                    raise InputError(
                        f"tp={ranks}: {path}.{name}: axis {axis} of {tuple(tensor.shape)}: expected a number of ranks "
                        f"that divides it ({style})"
                    )
            styles[path] = Experts(words)
        elif word == "mla_kv_a_proj":
            styles[path] = RotaryPart(_config(model).qk_rope_head_dim)
    return styles


def _config(model: nn.Module) -> Any:
    """Return the configuration of a model's text part."""
    config: Any = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def path_matches(pattern: str, path: str) -> bool:
    """Return True if a path matches a pattern, in which `*` matches a name or a part of one."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"[^.]*"), path) is not None


def _check_heads(model: nn.Module, chosen: dict[str, Any], ranks: int) -> None:
    """Raise InputError if a projection's number of heads (in the configuration) is not a multiple of the ranks."""
    config = _config(model)
    for path, word in chosen.items():
        field = _HEADS.get(path.rpartition(".")[2], "")
        heads = getattr(config, field, None)
        if word == "colwise" and type(heads) is int and heads % ranks:
            more = f"more ranks than heads; {path}" if heads < ranks else path
            raise InputError(
                f"tp={ranks}: {more} has {heads} heads ({field}); expected a number of ranks that divides them"
            )


def _check_width(path: str, module: nn.Module, word: Any, ranks: int) -> None:
    """Raise InputError if torch can't split the module, or a width is not divisible by the number of ranks."""
    name = _EVEN.get(word, "") if isinstance(word, str) else ""
    if isinstance(word, str) and word in _DIMS and not isinstance(module, (nn.Linear, nn.Embedding)):
        raise InputError(
            f"tp: {path}: {word}: expected a Linear or an Embedding, got {type(module).__name__}, which torch's "
            "ParallelStyles can't split; give a plan without this module: --plan, or cnncost.split(…, plan=…)"
        )
    width = getattr(module, name, None) if name else None
    if isinstance(width, int) and width % ranks:
        raise InputError(f"tp={ranks}: {path}: {name} {width}: expected a number of ranks that divides it ({word})")


def _shared(model: nn.Module, chosen: dict[str, Any]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Return the parameters that several modules share if the plan splits them, to tie them again after splitting.

    The keys are (module path, parameter name) of the first use, the values lists of the other uses.

    Raises:
        InputError: modules that share a parameter are split differently.
    """
    uses: dict[int, list[tuple[str, str]]] = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            uses.setdefault(id(parameter), []).append((path, name))
    found = {}
    for places in uses.values():
        if len(places) > 1 and any(path in chosen for path, _ in places):
            if len({_DIMS.get(str(chosen.get(path)), path) for path, _ in places}) > 1:
                by_path = ", ".join(f"{path}: {chosen.get(path, 'not split')}" for path, _ in places)
                raise InputError(
                    f"tp: modules that share one weight are split differently ({by_path}); expected a plan that splits "
                    "them along the same axis, as embedding_rowwise and colwise_gather_output do"
                )
            found[places[0]] = places[1:]
    return found
