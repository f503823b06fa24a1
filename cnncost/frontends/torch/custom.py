"""Calls covered by the user's rules: modules and autograd Functions, whose forward is not run.

During a recording, a module's `forward` (on the instance) and a Function's `forward` and `backward` (on the class) are
replaced, so that hooks, autograd's nodes and an `apply` bound earlier all call the replacements. When recording from
real data the originals run, hidden from the recorder, and their results are checked against the rule's answer.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import Function

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.blocks import TensorArgs
from cnncost.frontends.torch.compat.dispatch import without_modes
from cnncost.frontends.torch.custom_nests import check_outputs, filled, outputs_template, templated, typed, with_zeros
from cnncost.frontends.torch.meta import META
from cnncost.frontends.torch.module_calls import call_patch, current_call
from cnncost.frontends.torch.patches import Patch, patched
from cnncost.frontends.torch.types import tensor_type
from cnncost.graph import OpSpec, TensorType
from cnncost.opaque import Custom, Registered, attributes, backward_terms, call_rule, registered, rule_of

if TYPE_CHECKING:
    from cnncost.frontends.torch.recorder import Recorder

_Call = Callable[..., Any]
_WHY_RULED = "the user's rule gives the function's cost and outputs, and its own code may not run on meta"
_WHY_UNSEEN = "modules inside a module with a rule are not recorded"


class _Answer(NamedTuple):
    """A rule's answer for one call. `template`: the result, with a Slot for each tensor; `types`: their types."""

    rule: Registered
    custom: Custom
    template: Any
    types: tuple[TensorType, ...]


class _Saved(NamedTuple):
    """The values that forward saves for backward: their ids, and the tensors to keep alive."""

    values: tuple[int, ...]
    tensors: list[torch.Tensor]


class CustomCalls:
    """The calls of one recording that rules cover.

    Args:
        recorder: records the ops.
        real: whether forward and backward run on real data.
    """

    def __init__(self, recorder: Recorder, real: bool) -> None:
        self._recorder = recorder
        self._real = real
        self._thread = get_ident()
        self._module_call: _Call = current_call()
        self._has_rules = any(issubclass(rule.target, nn.Module) for rule in registered())

    # ---- modules

    def has_rule(self, kind: type) -> bool:
        """True if modules of this class are covered by a rule."""
        return self._has_rules and rule_of(kind) is not None

    def module_call(self, original: _Call) -> _Call:
        """Return a function that calls a module of a class that `has_rule`."""
        self._module_call = original

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            rule = rule_of(type(module))
            assert rule is not None
            table, run = module.__dict__, module.forward
            own_forward = table.get("forward")  # one that was set on the instance
            table["forward"] = lambda *a, **k: self._forward(module, rule, run, a, k)
            try:
                return original(module, *args, **kwargs)
            finally:
                table.pop("forward", None)
                if own_forward is not None:
                    table["forward"] = own_forward

        return call

    def _forward(self, module: nn.Module, rule: Registered, run: _Call, args: Any, kwargs: Any) -> Any:
        """Replace a module's forward, whose original is `run`."""
        inputs: list[torch.Tensor] = []
        templates = templated((args, kwargs), inputs)
        answer = self._answer(rule, (module, *typed(templates[0], inputs)), typed(templates[1], inputs), inputs)
        parameters = [*{id(p): p for p in module.parameters()}.values()]
        tensors = [*inputs, *parameters]
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            call = _ModuleCall(self, answer, lambda a, k: self._run_hidden(run, a, k), templates, len(inputs))
            return call.structured(_apply(call, *tensors))
        result = self._run_hidden(run, args, kwargs) if self._real else None
        outputs = [] if self._real else [_empty(kind) for kind in answer.types]
        self.record(answer, tensors, result, outputs, saves=False)
        return result if self._real else filled(answer.template, outputs)

    def _run_hidden(self, run: _Call, args: Any, kwargs: Any) -> Any:
        """Run forward on real data without recording its ops or the calls of modules in it."""
        with patched([call_patch(self._module_call, _WHY_UNSEEN)]), without_modes():
            return run(*args, **kwargs)

    # ---- functions

    def functions(self) -> list[Patch]:
        """Return patches of the autograd Functions that have rules, and of their subclasses that have none."""
        patches: list[Patch] = []
        for rule in registered():
            if issubclass(rule.target, Function):
                for kind in dict.fromkeys([rule.target, *_subclasses(rule.target)]):
                    if (nearest := rule_of(kind)) is rule:
                        patches += self._patches_of(kind, nearest)
        return patches

    def _patches_of(self, kind: Any, rule: Registered) -> list[Patch]:
        forward, thread = kind.forward, self._thread
        backward = kind.vjp if kind.vjp is not Function.vjp else kind.backward
        setup, has_setup = kind.setup_context, kind.setup_context is not Function.setup_context
        unrecorded: list[Any] = []  # the last call of forward, until `on_setup` gets its context

        def on_forward(*args: Any, **kwargs: Any) -> Any:
            if get_ident() != thread:
                return forward(*args, **kwargs)
            ctx: Any
            ctx, inputs = (None, args) if has_setup else (args[0], args[1:])
            tensors: list[torch.Tensor] = []
            templates = templated((inputs, kwargs), tensors)
            answer = self._answer(rule, typed(templates[0], tensors), typed(templates[1], tensors), tensors)
            result = self._run_hidden(forward, args, kwargs) if self._real else None
            outputs = [] if self._real else [_empty(kind) for kind in answer.types]
            if has_setup:
                unrecorded[:] = [(answer, tensors, result, outputs)]
            else:
                self._save(ctx, answer, inputs, self.record(answer, tensors, result, outputs, _differentiates(ctx)))
            return result if self._real else filled(answer.template, outputs)

        def on_setup(ctx: Any, inputs: Any, output: Any) -> None:
            if get_ident() != thread or not unrecorded:
                setup(ctx, inputs, output)
                return
            answer, tensors, result, outputs = unrecorded.pop()
            if self._real:
                with without_modes():
                    setup(ctx, inputs, output)
            self._save(ctx, answer, inputs, self.record(answer, tensors, result, outputs, _differentiates(ctx)))

        def on_backward(ctx: Any, *grads: Any) -> Any:
            if not hasattr(ctx, "cnncost"):  # its forward ran in another thread
                return backward(ctx, *grads)
            answer, saved, types, needed = ctx.cnncost
            arguments = (ctx, *with_zeros(grads, answer.types)) if self._real else ()
            run = (lambda: self._run_hidden(backward, arguments, {})) if self._real else None
            return self.backward(answer, saved, types, needed, grads, run)

        on_forward.__wrapped__ = forward  # type: ignore[attr-defined]  # torch inspects the signature
        # torch would call a class's own `vjp` instead of `backward`
        new = {"forward": on_forward, "backward": on_backward, "vjp": Function.vjp}
        if has_setup:
            new["setup_context"] = on_setup
        return [Patch(kind, name, staticmethod(function), _WHY_RULED) for name, function in new.items()]

    def _save(self, ctx: Any, answer: _Answer, inputs: Any, saved: _Saved) -> None:
        """Save on `ctx` the arguments of `backward`, and the tensors that stay alive until then."""
        ctx.set_materialize_grads(False)
        types = [tensor_type(x) if isinstance(x, torch.Tensor) else None for x in inputs]
        ctx.cnncost = (answer, saved.values, types, ctx.needs_input_grad)
        if _differentiates(ctx) and not self._real:
            ctx.save_for_backward(*saved.tensors)

    # ---- both

    def _answer(self, rule: Registered, args: Any, kwargs: Any, inputs: list[torch.Tensor]) -> _Answer:
        answer = call_rule(rule, args, kwargs)
        default = next((t.dtype for t in map(tensor_type, inputs) if t.floating), None)
        types: list[TensorType] = []
        template = outputs_template(rule, answer.outputs, types, default)
        return _Answer(rule, answer, template, tuple(types))

    def record(
        self, answer: _Answer, tensors: list[torch.Tensor], result: Any, outputs: list[torch.Tensor], saves: bool
    ) -> _Saved:
        """Record the forward op, and return the values that it saves for backward.

        Args:
            answer: the rule's answer.
            tensors: the op's input tensors.
            result: forward's return value, if it ran on real data.
            outputs: its outputs; empty if forward ran on real data, and then filled from `result`.
            saves: whether autograd is on, so that values are saved for backward.
        """
        operands = self._operands(tensors)
        saved = None
        if self._real:
            templated(result, outputs)
            check_outputs(answer.rule, answer.types, outputs)
        elif saves and answer.custom.saved:
            saved = _empty(TensorType((answer.custom.saved,), "uint8"))
        results = outputs if saved is None else [*outputs, saved]
        custom = answer.custom
        self._write(answer.rule.name, operands, results, attributes(custom.terms, custom.read, custom.written))
        values = tuple(tracked.value for _, tracked in operands) if custom.saves_inputs else ()
        alive = list(tensors) if custom.saves_inputs and not self._real else []
        if saved is not None:
            alive.append(saved)
            values = (*values, self._recorder.ledger.tracked[id(saved)].value)
        return _Saved(values, alive)

    def backward(
        self, answer: _Answer, saved: tuple[int, ...], types: list[TensorType | None], needed: tuple[bool, ...],
        grads: Any, run: Any, n_parameters: int = 0,
    ) -> tuple[torch.Tensor | None, ...]:  # fmt: skip
        """Record the backward op, and return a gradient for each tensor that needs one.

        Args:
            answer: the rule's answer in forward.
            saved: ids of the values that forward saved.
            types: type of each input tensor; None for other arguments. A module's parameters come last.
            needed: whether each needs a gradient.
            grads: gradients of the outputs.
            run: computes the gradients on real data; None: there is no data.
            n_parameters: number of parameters among the inputs.
        """
        grad_types = [kind if need else None for kind, need in zip(types, needed, strict=True)]
        real = run() if run is not None else None
        if real is not None:
            real = real if isinstance(real, tuple) else (real,)
            real = (*real, *[None] * len(types))[: len(types)]  # torch accepts more Nones at the end
            gradients = [g if isinstance(g, torch.Tensor) else None for g in real]
        else:
            gradients = [None if kind is None else _empty(kind) for kind in grad_types]
        n_inputs = len(types) - n_parameters
        inputs, parameters = any(map(bool, grad_types[:n_inputs])), any(map(bool, grad_types[n_inputs:]))
        terms = backward_terms(answer.rule, answer.custom, inputs, parameters)
        recorder = self._recorder
        operands = self._operands([g for g in grads if g is not None])
        if recorder.attributor is not None:
            recorder.call = recorder.attributor.call(operands)
        assumed = " (assumed: 2× forward)" if answer.custom.backward is None else ""
        outputs = [g for g in gradients if g is not None]
        self._write(f"{answer.rule.name} backward{assumed}", operands, outputs, attributes(terms, None, None), saved)
        return tuple(gradients)

    def _operands(self, tensors: list[torch.Tensor]) -> TensorArgs:
        operands: TensorArgs = []
        self._recorder.scan(tensors, [], operands)
        return operands

    def _write(self, name: str, operands: TensorArgs, outputs: Any, attrs: Any, saved: tuple[int, ...] = ()) -> None:
        recorder, ledger = self._recorder, self._recorder.ledger
        results = [ledger.find(tensor) or ledger.add_result(tensor) for tensor in outputs]
        ids = (*(tracked.value for _, tracked in operands), *saved)
        types = tuple(ledger.values[i].type for i in ids)
        spec = memos.intern(OpSpec("custom", types, tuple(tracked.sig.type for tracked in results), attrs))
        recorder.append(spec, ids, tuple(tracked.value for tracked in results), name)


class _ModuleCall:
    """A call of a module with a rule when autograd is on.

    `run` is its forward; `templates` are its arguments, with `n_inputs` tensors, and its parameters are further inputs.
    """

    def __init__(self, calls: CustomCalls, answer: _Answer, run: _Call, templates: Any, n_inputs: int) -> None:
        self.calls, self.answer, self._run, self._arguments, self.n_inputs = calls, answer, run, templates, n_inputs
        self._template: Any = answer.template
        self._inner_graph: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None  # its leaves and results

    def structured(self, tensors: Any) -> Any:
        """Return the tensors in the structure that forward returns."""
        return filled(self._template, list(tensors))

    def forward_on_values(self, tensors: tuple[torch.Tensor, ...]) -> Any:
        """Run forward on real data, with its own autograd graph for backward."""
        with without_modes(), torch.enable_grad():
            inputs = [t.detach().requires_grad_(t.requires_grad) for t in tensors[: self.n_inputs]]
            args, kwargs = filled(self._arguments, inputs)
            result = self._run(args, kwargs)
        results: list[torch.Tensor] = []
        self._template = templated(result, results)
        self._inner_graph = ([*inputs, *tensors[self.n_inputs :]], results)
        with without_modes():
            return [t.detach() for t in results]

    def backward_on_values(self, grads: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor | None, ...]:
        """Compute the gradients on real data."""
        assert self._inner_graph is not None
        tensors, results = self._inner_graph
        pairs = [(t, g) for t, g in zip(results, grads, strict=True) if g is not None and t.requires_grad]
        leaves = [t for t in tensors if t.requires_grad]
        with without_modes():
            gradients = iter(
                torch.autograd.grad([t for t, _ in pairs], leaves, [g for _, g in pairs], allow_unused=True)
                if pairs and leaves else [None] * len(leaves)
            )  # fmt: skip
        return tuple(next(gradients) if t.requires_grad else None for t in tensors)


class _RuledModule(Function):
    """The autograd Function by which a module with a rule appears in autograd's graph."""

    @staticmethod
    def forward(ctx: Any, call: _ModuleCall, *tensors: torch.Tensor) -> Any:
        ctx.set_materialize_grads(False)
        result = call.forward_on_values(tensors) if call.calls._real else None
        outputs = [] if call.calls._real else [_empty(kind) for kind in call.answer.types]
        saved = call.calls.record(call.answer, list(tensors), result, outputs, saves=True)
        ctx.call, ctx.values = call, saved.values
        ctx.types = [tensor_type(t) for t in tensors]
        ctx.save_for_backward(*saved.tensors)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        call: _ModuleCall = ctx.call
        run = (lambda: call.backward_on_values(grads)) if call.calls._real else None
        needed, n_parameters = ctx.needs_input_grad[1:], len(ctx.types) - call.n_inputs
        gradients = call.calls.backward(call.answer, ctx.values, ctx.types, needed, grads, run, n_parameters)
        return (None, *gradients)  # None for the argument `call`


_apply: _Call = _RuledModule.apply


def _subclasses(kind: type) -> list[type]:
    """Return all direct and indirect subclasses."""
    children: list[type] = kind.__subclasses__()
    return [kind for child in children for kind in (child, *_subclasses(child))]


def _differentiates(ctx: Any) -> bool:
    """True if autograd is on: the context, which is the call's autograd node, then has edges to its inputs' nodes."""
    return bool(ctx.next_functions)


def _empty(kind: TensorType) -> torch.Tensor:
    with without_modes():
        return torch.empty(kind.shape, dtype=getattr(torch, kind.dtype), device=META)
