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
from cnncost.frontends.torch.compat.modules import CALL_PLACE
from cnncost.frontends.torch.custom_nests import check_outputs, filled, outputs_template, templated, typed
from cnncost.frontends.torch.meta import META
from cnncost.frontends.torch.patches import Patch, patched
from cnncost.frontends.torch.types import tensor_type
from cnncost.graph import OpSpec, TensorType
from cnncost.opaque import Custom, Registered, ask, attributes, backward_terms, registered, rule_of

if TYPE_CHECKING:
    from cnncost.frontends.torch.recorder import Recorder

_Call = Callable[..., Any]
_RULED = "the user's rule gives the function's cost and outputs, and its own code may not run on meta"
_UNSEEN = "modules inside a module with a rule are not recorded"


class _Answer(NamedTuple):
    """A rule's answer for one call: `template` is the result with a Slot for each tensor, `types` are the tensors'."""

    rule: Registered
    custom: Custom
    template: Any
    types: tuple[TensorType, ...]


class _Saved(NamedTuple):
    """What forward saves for backward: value ids, and the tensors to keep alive."""

    values: tuple[int, ...]
    tensors: list[torch.Tensor]


class CustomCalls:
    """The calls of one recording that rules cover.

    Args:
        recorder: writes the ops.
        real: forward and backward run on real data.
    """

    def __init__(self, recorder: Recorder, real: bool) -> None:
        self._recorder = recorder
        self._real = real
        self._thread = get_ident()
        self._module_call: _Call = getattr(*CALL_PLACE)

    # ---- modules

    def module_call(self, original: _Call) -> _Call:
        """Wrap `nn.Module._call_impl` for modules with a rule; returns `original` itself if no module has one."""
        self._module_call, thread = original, self._thread
        if not any(issubclass(rule.target, nn.Module) for rule in registered()):
            return original

        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            rule = rule_of(type(module)) if get_ident() == thread else None
            if rule is None:
                return original(module, *args, **kwargs)
            held, run = module.__dict__, module.forward
            own = held.get("forward")
            held["forward"] = lambda *a, **k: self._forward(module, rule, run, a, k)
            try:
                return original(module, *args, **kwargs)
            finally:
                held.pop("forward", None)
                if own is not None:
                    held["forward"] = own

        return call

    def _forward(self, module: nn.Module, rule: Registered, run: _Call, args: Any, kwargs: Any) -> Any:
        """Replace a module's forward, whose original is `run`."""
        tensors_given: list[torch.Tensor] = []
        templates = templated((args, kwargs), tensors_given)
        answer = self._answer(
            rule, (module, *typed(templates[0], tensors_given)), typed(templates[1], tensors_given), tensors_given
        )
        owned = [*{id(p): p for p in module.parameters()}.values()]
        tensors = [*tensors_given, *owned]
        if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
            call = _ModuleCall(self, answer, lambda a, k: self._unseen(run, a, k), templates, len(tensors_given))
            return call.shape_of(_apply(call, *tensors))
        result = self._unseen(run, args, kwargs) if self._real else None
        made = [] if self._real else [_empty(kind) for kind in answer.types]
        self.record(answer, tensors, result, made, saves=False)
        return result if self._real else filled(answer.template, made)

    def _unseen(self, run: _Call, args: Any, kwargs: Any) -> Any:
        """Run forward on real data without recording its ops or the calls of modules in it."""
        with patched([Patch(*CALL_PLACE, self._module_call, _UNSEEN)]), without_modes():
            return run(*args, **kwargs)

    # ---- functions

    def functions(self) -> list[Patch]:
        """Patches of the autograd Functions that have rules, and of their subclasses without one of their own."""
        found: list[Patch] = []
        for rule in registered():
            if issubclass(rule.target, Function):
                for kind in dict.fromkeys([rule.target, *_subclasses(rule.target)]):
                    if (nearest := rule_of(kind)) is rule:
                        found += self._patches_of(kind, nearest)
        return found

    def _patches_of(self, kind: Any, rule: Registered) -> list[Patch]:
        forward, thread = kind.forward, self._thread
        backward = kind.vjp if kind.vjp is not Function.vjp else kind.backward
        setup, split = kind.setup_context, kind.setup_context is not Function.setup_context
        answered: list[Any] = []

        def on_forward(*args: Any, **kwargs: Any) -> Any:
            if get_ident() != thread:
                return forward(*args, **kwargs)
            ctx: Any
            ctx, inputs = (None, args) if split else (args[0], args[1:])
            given: list[torch.Tensor] = []
            templates = templated((inputs, kwargs), given)
            answer = self._answer(rule, typed(templates[0], given), typed(templates[1], given), given)
            result = self._unseen(forward, args, kwargs) if self._real else None
            made = [] if self._real else [_empty(kind) for kind in answer.types]
            if split:  # `on_setup` gets the context, and records the op then
                answered[:] = [(answer, given, result, made)]
            else:
                self._save(ctx, answer, inputs, self.record(answer, given, result, made, bool(ctx.next_functions)))
            return result if self._real else filled(answer.template, made)

        def on_setup(ctx: Any, inputs: Any, output: Any) -> None:
            if get_ident() != thread or not answered:
                setup(ctx, inputs, output)
                return
            answer, given, result, made = answered.pop()
            if self._real:
                with without_modes():
                    setup(ctx, inputs, output)
            self._save(ctx, answer, inputs, self.record(answer, given, result, made, bool(ctx.next_functions)))

        def on_backward(ctx: Any, *grads: Any) -> Any:
            if not hasattr(ctx, "cnncost"):
                return backward(ctx, *grads)
            answer, templates, needed, _ = ctx.cnncost
            run = (lambda: self._unseen(backward, (ctx, *_whole(grads, answer.types)), {})) if self._real else None
            return self.backward(ctx.cnncost, templates, needed, grads, run)

        on_forward.__wrapped__ = forward  # type: ignore[attr-defined]  # torch inspects the signature
        new = {"forward": on_forward, "backward": on_backward, "vjp": Function.vjp}
        if split:
            new["setup_context"] = on_setup
        return [Patch(kind, name, staticmethod(function), _RULED) for name, function in new.items()]

    def _save(self, ctx: Any, answer: _Answer, inputs: Any, keep: _Saved) -> None:
        """Save on `ctx` what a Function's backward needs."""
        ctx.set_materialize_grads(False)
        types = [tensor_type(x) if isinstance(x, torch.Tensor) else None for x in inputs]
        ctx.cnncost = (answer, types, ctx.needs_input_grad, keep.values)
        if ctx.next_functions and not self._real:
            ctx.save_for_backward(*keep.tensors)

    # ---- both

    def _answer(self, rule: Registered, args: Any, kwargs: Any, given: list[torch.Tensor]) -> _Answer:
        answer = ask(rule, args, kwargs)
        default = next((t.dtype for t in map(tensor_type, given) if t.floating), None)
        types: list[TensorType] = []
        template = outputs_template(rule, answer.outputs, types, default)
        return _Answer(rule, answer, template, tuple(types))

    def record(
        self, answer: _Answer, tensors: list[torch.Tensor], result: Any, made: list[torch.Tensor], saves: bool
    ) -> _Saved:
        """Record the forward op; returns what it saves for backward.

        Args:
            answer: the rule's answer.
            tensors: its inputs.
            result: what forward returned, if it ran on real data.
            made: its outputs; filled here from `result` if forward ran on real data.
            saves: autograd is on.
        """
        operands = self._operands(tensors)
        saved = None
        if self._real:
            templated(result, made)
            check_outputs(answer.rule, answer.types, made)
        elif saves and answer.custom.saved:
            saved = _empty(TensorType((answer.custom.saved,), "uint8"))
        outputs = made if saved is None else [*made, saved]
        custom = answer.custom
        self._write(answer.rule.name, operands, outputs, attributes(custom.terms, custom.read, custom.written))
        values = tuple(known.value for _, known in operands) if custom.saves_inputs else ()
        alive = list(tensors) if custom.saves_inputs and not self._real else []
        if saved is not None:
            alive.append(saved)
            values = (*values, self._recorder.ledger.tracked[id(saved)].value)
        return _Saved(values, alive)

    def backward(
        self, kept: Any, types: list[TensorType | None], needed: tuple[bool, ...], grads: Any, run: Any, owned: int = 0
    ) -> tuple[torch.Tensor | None, ...]:
        """Record the backward op, and return a gradient for each tensor that needs one.

        Args:
            kept: what `_save` stored on the context.
            types: type of each input tensor; None for other arguments. The last `owned` ones are parameters.
            needed: whether each needs a gradient.
            grads: gradients of the outputs.
            run: computes the gradients on real data; None without.
            owned: number of parameters.
        """
        answer, values = kept[0], kept[3]
        gradient_types = [kind if need else None for kind, need in zip(types, needed, strict=True)]
        real = run() if run is not None else None
        if real is not None:
            real = real if isinstance(real, tuple) else (real,)
            gradients = [g if isinstance(g, torch.Tensor) else None for g in (*real, *[None] * len(gradient_types))][
                : len(gradient_types)
            ]
        else:
            gradients = [None if kind is None else _empty(kind) for kind in gradient_types]
        split = len(gradient_types) - owned
        inputs, parameters = any(map(bool, gradient_types[:split])), any(map(bool, gradient_types[split:]))
        terms = backward_terms(answer.rule, answer.custom, inputs, parameters)
        recorder = self._recorder
        operands = self._operands([g for g in grads if g is not None])
        if recorder.attributor is not None:
            recorder.call = recorder.attributor.call(operands)
        assumed = " (assumed: 2× forward)" if answer.custom.backward is None else ""
        outputs = [g for g in gradients if g is not None]
        self._write(f"{answer.rule.name} backward{assumed}", operands, outputs, attributes(terms, None, None), values)
        return tuple(gradients)

    def _operands(self, tensors: list[torch.Tensor]) -> TensorArgs:
        operands: TensorArgs = []
        self._recorder.scan(tensors, [], operands)
        return operands

    def _write(self, name: str, found: TensorArgs, outputs: list[torch.Tensor], attrs: Any, more: Any = ()) -> None:
        recorder = self._recorder
        ledger = recorder.ledger
        results = [ledger.find(tensor) or ledger.add_result(tensor) for tensor in outputs]
        ids = (*(tracked.value for _, tracked in found), *more)
        types = tuple(ledger.values[i].type for i in ids)
        spec = memos.intern(OpSpec("custom", types, tuple(tracked.sig.type for tracked in results), attrs))
        recorder.append(spec, ids, tuple(tracked.value for tracked in results), name)


class _ModuleCall:
    """A call of a module with a rule when autograd is on."""

    def __init__(self, calls: CustomCalls, answer: _Answer, run: _Call, templates: Any, given: int) -> None:
        self.calls, self.answer, self._run, self._places, self.given = calls, answer, run, templates, given
        self._template: Any = answer.template
        self._inside: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None

    def shape_of(self, tensors: Any) -> Any:
        """The tensors in the structure that forward returns."""
        return filled(self._template, list(tensors))

    def forward_on_values(self, tensors: tuple[torch.Tensor, ...]) -> Any:
        """Run forward on real data, with its own autograd graph for backward."""
        with without_modes(), torch.enable_grad():
            inside = [t.detach().requires_grad_(t.requires_grad) for t in tensors[: self.given]]
            args, kwargs = filled(self._places, inside)
            result = self._run(args, kwargs)
        results: list[torch.Tensor] = []
        self._template = templated(result, results)
        self._inside = ([*inside, *tensors[self.given :]], results)
        with without_modes():
            return [t.detach() for t in results]

    def backward_on_values(self, grads: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor | None, ...]:
        """Compute the gradients on real data."""
        assert self._inside is not None
        tensors, made = self._inside
        pairs = [(t, g) for t, g in zip(made, grads, strict=True) if g is not None and t.requires_grad]
        differentiable = [t for t in tensors if t.requires_grad]
        with without_modes():
            gradients = iter(
                torch.autograd.grad([t for t, _ in pairs], differentiable, [g for _, g in pairs], allow_unused=True)
                if pairs and differentiable else [None] * len(differentiable)
            )  # fmt: skip
        return tuple(next(gradients) if t.requires_grad else None for t in tensors)


class _RuledModule(Function):
    """The autograd Function by which a module with a rule appears in autograd's graph."""

    @staticmethod
    def forward(ctx: Any, call: _ModuleCall, *tensors: torch.Tensor) -> Any:
        ctx.set_materialize_grads(False)
        result = call.forward_on_values(tensors) if call.calls._real else None
        made = [] if call.calls._real else [_empty(kind) for kind in call.answer.types]
        keep = call.calls.record(call.answer, list(tensors), result, made, saves=True)
        ctx.call, ctx.kept = call, (call.answer, None, None, keep.values)
        ctx.types = [tensor_type(t) for t in tensors]
        ctx.save_for_backward(*keep.tensors)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        call: _ModuleCall = ctx.call
        run = (lambda: call.backward_on_values(grads)) if call.calls._real else None
        owned = len(ctx.types) - call.given
        return (None, *call.calls.backward(ctx.kept, ctx.types, ctx.needs_input_grad[1:], grads, run, owned))


_apply: _Call = _RuledModule.apply


def _subclasses(kind: type) -> list[type]:
    """All direct and indirect subclasses."""
    children: list[type] = kind.__subclasses__()
    return [each for child in children for each in (child, *_subclasses(child))]


def _empty(kind: TensorType) -> torch.Tensor:
    with without_modes():
        return torch.empty(kind.shape, dtype=getattr(torch, kind.dtype), device=META)


def _whole(grads: Any, types: tuple[TensorType, ...]) -> list[torch.Tensor]:
    """Gradients as a Function's own backward expects them: zeros for missing ones."""
    with without_modes():
        return [
            torch.zeros(kind.shape, dtype=getattr(torch, kind.dtype)) if grad is None else grad
            for grad, kind in zip(grads, types, strict=True)
        ]
