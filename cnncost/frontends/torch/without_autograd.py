"""Answers forward's queries about autograd while autograd is off.

If only autograd knows the answer, the recording is restarted with autograd on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from cnncost.frontends.torch.compat.autograd import SET_GRAD_MODE_PLACE, differentiating_places
from cnncost.frontends.torch.compat.interpreter import frame
from cnncost.frontends.torch.compat.tensors import TensorBase
from cnncost.frontends.torch.patches import Patch, Place
from cnncost.frontends.torch.protocols import Recording
from cnncost.frontends.torch.restarts import GradNeededError

NOT_A_MODEL = ("torch.", "cnncost.")
"""Prefixes of modules that query autograd only for their own purposes: which fast path to take, whether to warn."""
_KEEPS_MODES = "torch.autograd.grad_mode"
"""Module whose contexts (`no_grad`) restore the mode on entry. That must be the mode that forward sees."""
_OF_TENSORS = "autograd is off, so results have no history and would report the attributes of constants"
_OF_THE_MODE = "autograd is off for the recording, but on for the caller or for code that turned it on"
_DIFFERENTIATES = "it differentiates, which requires autograd"


class WithoutAutograd:
    """Answers queries about autograd in one recording.

    Args:
        recorder: the recorder of the tensors.
        enabled: whether autograd is on for the caller.
        is_ours: returns whether the caller is the model's code.

    Attributes:
        missed: whether forward queried something that only autograd knows. Forward may have caught the exception.
    """

    def __init__(self, recorder: Recording, enabled: bool, is_ours: Callable[[], bool]) -> None:
        self._recorder = recorder
        self._enabled = enabled
        self._is_ours = is_ours
        self.missed = False

    def patches(self) -> list[Patch]:
        """Return patches of the functions and attributes that query autograd."""
        return [*self._of_tensors(), *self._of_the_mode(), *self._that_differentiate()]

    def _restart(self) -> None:
        """Abort the recording, which is then restarted with autograd on."""
        self.missed = True
        raise GradNeededError

    def _is_query(self, tensor: torch.Tensor) -> bool:
        """True if the model's code, two frames up, queries an op's differentiable result while autograd would be on."""
        if not self._enabled or not self._is_ours() or torch.is_inference_mode_enabled():
            return False
        if (frame(2).f_globals.get("__name__") or "").startswith(NOT_A_MODEL):
            return False
        tracked = self._recorder.ledger.find(tensor)
        differentiable = tensor.is_floating_point() or tensor.is_complex()
        return tracked is not None and tracked.block.born is not None and differentiable

    def _of_tensors(self) -> list[Patch]:
        tensor: Any = torch.Tensor
        original = TensorBase.requires_grad

        def requires_grad(t: torch.Tensor) -> Any:
            if not original.__get__(t) and self._is_query(t):
                self._restart()
            return original.__get__(t)

        def restarting(attribute: Any) -> Any:
            return property(lambda t: self._restart() if self._is_query(t) else attribute.__get__(t))

        return [
            Patch(tensor, "requires_grad", property(requires_grad, original.__set__), _OF_TENSORS),
            Patch(tensor, "grad_fn", restarting(TensorBase.grad_fn), _OF_TENSORS),
            Patch(tensor, "is_leaf", restarting(TensorBase.is_leaf), _OF_TENSORS),
        ]

    def _of_the_mode(self) -> list[Patch]:
        enabled, set_enabled = torch.is_grad_enabled, getattr(*SET_GRAD_MODE_PLACE)

        def is_grad_enabled() -> bool:
            caller = frame(1).f_globals.get("__name__") or ""
            if not self._is_ours() or (caller.startswith(NOT_A_MODEL) and caller != _KEEPS_MODES):
                return enabled()
            return bool(self._enabled)

        def set_grad_enabled(mode: bool) -> None:
            if self._is_ours():
                self._enabled = mode
            else:
                set_enabled(mode)

        return [
            Patch(torch, "is_grad_enabled", is_grad_enabled, _OF_THE_MODE),
            Patch(*SET_GRAD_MODE_PLACE, set_grad_enabled, _OF_THE_MODE),
        ]

    def _that_differentiate(self) -> list[Patch]:
        def restarting(original: Any) -> Any:
            def method(*args: Any, **kwargs: Any) -> Any:
                if self._is_ours():
                    self._restart()
                return original(*args, **kwargs)

            return method

        def noting(original: Any) -> Any:
            def function(*args: Any, **kwargs: Any) -> Any:
                self.missed = self.missed or self._is_ours()  # no exception: the caller has to close what it opened
                return original(*args, **kwargs)

            return function

        def wrapped(places: list[Place], wrapper: Callable[[Any], Any]) -> list[Patch]:
            return [Patch(*place, wrapper(getattr(*place)), _DIFFERENTIATES) for place in places]

        places: list[Place] = [(torch.Tensor, name) for name in ("backward", "register_hook", "retain_grad")]
        places += [(torch.autograd, "grad"), (torch.autograd, "backward")]
        places += [(torch.autograd.forward_ad, "enter_dual_level"), (torch.autograd.graph, "register_multi_grad_hook")]
        saving = torch.autograd.graph.saved_tensors_hooks
        original_enter, restarting_enter = saving.__enter__, restarting(saving.__enter__)

        def enter(hooks: Any) -> Any:
            """Let torch's own hooks pass, such as those of checkpoints, because they don't affect forward."""
            own = type(hooks) is not saving and type(hooks).__module__.startswith(NOT_A_MODEL)
            return (original_enter if own else restarting_enter)(hooks)

        why = "forward inspects the tensors that autograd saves, but autograd is off and saves none"
        hooks = Patch(saving, "__enter__", enter, why)
        return [*wrapped(differentiating_places(), noting), *wrapped(places, restarting), hooks]
