"""The state of a recorder: its nodes, its tensors and the devices that they represent.

Most tensors enter the tensor table as results of ops. This file adds the others: a tensor from outside the recording,
an alias that was created unobserved, and a tensor whose storage was written to through another view.
"""

from __future__ import annotations

from typing import Any

import torch

from cnncost.frontends.torch import memo as memos
from cnncost.frontends.torch.appearance import Appearance
from cnncost.frontends.torch.attention_masks import Masks
from cnncost.frontends.torch.autocast import Casting
from cnncost.frontends.torch.blocks import TrackedTensor
from cnncost.frontends.torch.compat.dispatch import TorchDispatchMode
from cnncost.frontends.torch.compat.ops import COPY_TO
from cnncost.frontends.torch.ledger import TensorTable
from cnncost.frontends.torch.meta import is_meta
from cnncost.frontends.torch.protocols import CallAttributor
from cnncost.frontends.torch.running import REAL_LIMIT, Runner, has_data
from cnncost.frontends.torch.skeleton import Skeleton
from cnncost.frontends.torch.types import tensor_type
from cnncost.graph import FusedNodes, Node, OpSpec, Phase

_CPU = torch.device("cpu")


class RecorderState(TorchDispatchMode):
    """The state of a recording. The module tracker sets `call`, the index of the running module call."""

    def __init__(
        self,
        use_memo: bool = True,
        skeleton: Skeleton | None = None,
        ledger: TensorTable | None = None,
        data: dict[int, torch.Tensor] | None = None,
        casting: Casting | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's class is untyped
        self.skeleton = skeleton
        self.values_at_hand = data if data is not None else {}
        """Known values of meta tensors, by the tensors' `id`."""
        self.ledger = ledger if ledger is not None else TensorTable()
        self.nodes: list[Node] = []
        self.call = 0
        self.phase: Phase = "forward"
        self.attributor: CallAttributor | None = None
        """Attributes ops that run outside of module calls, as in backward, to calls."""
        self._memo = memos.current() if use_memo else {}
        self._use_memo = use_memo
        self._runner = Runner()
        self.casting = casting
        """The state of autocast if the recording emulates it; else None."""
        self._noisy = False
        """Whether a random mask was drawn. If not, ops need not be checked for operands that are masks."""
        self.appearance: Appearance | None = None
        """The device and autograd attributes that tensors report while forward runs."""
        self.follows_devices = False
        """Whether results of ops must be assigned to devices, because some tensor is not on the model's device. It is
        off while such an op is recorded."""
        self.drawn: list[int] = []
        """Calls in which forward read a value that depends on random numbers."""
        self.read_given: list[int] = []
        """Calls in which forward read a value that depends on a floating-point input."""
        self.read_as: tuple[float, ...] = ()
        """Placeholders to return in turn when unknown values are read. If empty, such a read raises."""
        self.refused: Exception | None = None
        """The first error that forward got only because tensors have no data. If it caught it, it then did something
        else than in a real run."""
        self.zeros = False
        """Whether forward-mode AD has created an efficient zero tensor, which has no memory."""
        self.guesses = False
        """Whether a placeholder of `read_as` was returned."""
        self.fuses_encoders = bool(torch.backends.mha.get_fastpath_enabled())
        """Whether the user lets torch run encoder layers as one kernel. Recordings turn that off (`guard.py`)."""
        self.fused: list[FusedNodes] = []
        self.notes: list[str] = []
        """Notes on how the recording differs from a real run."""
        self.masks = Masks()
        if skeleton is not None:
            self.masks.sources.append(skeleton.tensors)

    supports_higher_order_operators = True
    on_values = False
    """Whether ops run on real data."""
    decomposes: Any = None
    """The composite op whose inner ops are recorded. If it arrives here itself, it has a kernel of its own."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False. Otherwise torch would import its compiler, which takes a second, and slow down every op."""
        return False

    def append(self, spec: OpSpec, inputs: tuple[int, ...], outputs: tuple[int, ...], name: str) -> None:
        """Append a node."""
        self.nodes.append(Node(spec, inputs, outputs, self.call, name, self.phase))
        self.ledger.clock += 1

    def release(self) -> None:
        """Drop references to all tensors, so that copies are freed without the garbage collector."""
        self.skeleton = self.appearance = self.refused = None
        self.ledger = TensorTable()
        self.values_at_hand = {}
        self._runner = Runner()
        self.masks = Masks()

    # ---- devices and values that tensors represent

    def place(self, tensor: torch.Tensor, device: torch.device | None) -> None:
        """Register that a tensor is on `device` if that is not the model's device; None: none was requested."""
        if device is not None and self.appearance is not None and not self.appearance.at_home(device):
            self.appearance.place(tensor, device)

    @property
    def several(self) -> bool:
        """True if the model is on several devices."""
        return self.appearance is not None and self.appearance.several

    def device_type(self, tensor: torch.Tensor) -> str:
        """The type of the device that a tensor represents (`cpu` for meta), or of autocast's if that is not the CPU."""
        if self.casting is not None and self.casting.device != "cpu":
            return self.casting.device
        claimed = self.appearance.claimed(tensor).type if self.appearance is not None else "cpu"
        return "cpu" if claimed == "meta" else claimed

    def on_cpu(self, tensor: torch.Tensor) -> bool:
        """True if a tensor represents one on the CPU."""
        return self.device_type(tensor) == "cpu"

    def makes_values(self, on: bool) -> None:
        """Set whether tensors that code creates on the CPU get data there, instead of being created on meta."""
        self._runner.makes_values = on

    def read(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return a copy of a meta tensor's values; None if they are unknown, or the tensor itself has data."""
        if not is_meta(tensor):
            return None
        self._runner.returns_values = True
        try:
            values: torch.Tensor = COPY_TO(tensor, device=_CPU)
        finally:
            self._runner.returns_values = False
        if is_meta(values):
            return None
        self.note_read(self.ledger.find(tensor))
        return values

    def refuse(self, error: Exception, *, on_values: bool = False) -> Exception:
        """Note an error that forward gets only because it is analyzed; return it.

        Args:
            error: the error, which forward may catch.
            on_values: whether it is not tensors without data that are its reason, so that a run on values gets it, too.
        """
        if self.refused is None and (on_values or not self.on_values):
            self.refused = error
        return error

    def errors_noted(self) -> ErrorsNoted:
        """Return a context of what the recorder itself does, and not forward."""
        return ErrorsNoted(self)

    def raise_if_refused(self) -> None:
        """Raise the error that forward got only because it is analyzed, if it caught one."""
        if self.refused is not None:
            raise self.refused

    def note_read(self, tracked: TrackedTensor | None) -> None:
        """Note the running call if the value that it reads depends on random numbers or a floating-point input."""
        if tracked is not None and tracked.block.from_random:
            self.drawn.append(self.call)
        if tracked is not None and tracked.block.from_float_input:
            self.read_given.append(self.call)

    @property
    def originals(self) -> Skeleton | None:
        """The skeleton, which maps the user's tensors to their copies; None if there is none."""
        return self.skeleton

    # ---- tensors from outside the recording, or changed unobserved

    def register_external(self, tensor: torch.Tensor) -> TrackedTensor:
        """Register a tensor that no recorded op returned: a constant, a user's tensor, or an alias of a known one."""
        ledger = self.ledger
        copy = self.skeleton.copy_of(tensor) if self.skeleton is not None else None
        if copy is not None and copy is not tensor:  # code used the user's tensor instead of the skeleton's copy
            ledger.add_stand_in(tensor, tensor, ledger.find(copy) or self.register_external(copy))
            return ledger.tracked[id(tensor)]
        block = ledger.block_of(tensor)
        if block is None:
            data = self.values_at_hand.get(id(tensor), tensor if has_data(tensor) else None)
            return ledger.add_source(tensor, "constant", data)
        latest = ledger.latest_on(block, tensor_type(tensor))
        if latest is None:
            return ledger.add_view(tensor, block, "constant")
        alias = ledger.add_view(tensor, block)
        self.append(memos.layout("alias", (latest.type,), alias.sig.type), (latest.id,), (alias.value,), "alias")
        return alias

    def register_literal(self, tensor: torch.Tensor, data: torch.Tensor) -> None:
        """Register the values of a tensor without data that an op has just created: literals in the model's code."""
        self.ledger.mark(tensor, "constant")
        if data.numel() <= REAL_LIMIT:
            self.ledger.attach(tensor, data)

    def copy_values(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Give `tensor` the known values of `other`, from which an unrecorded op created it."""
        tracked = self.ledger.find(other)
        if tracked is not None and tracked.data is not None and tracked.sig.real and is_meta(tensor):
            self.register_external(tensor)
            self.ledger.attach(tensor, tracked.data)

    def catch_up(self, tensor: torch.Tensor, old: TrackedTensor) -> TrackedTensor:
        """Append a node that updates a stale tensor, whose storage was written to through another one."""
        ledger = self.ledger
        writer = old.block.writer
        if old.block.born is None and (is_meta(tensor) or (old.block.copied and old.data is None)):
            old.block.real = False  # these are the user's values; the write went to a copy
        new = ledger.add_view(tensor, old.block)
        if new.sig.real and old.data is not None:
            new = ledger.attach(tensor, old.data)
        types = (old.sig.type, ledger.values[writer].type)
        self.append(memos.layout("after_write", types, new.sig.type), (old.value, writer), (new.value,), "after_write")
        return new


class ErrorsNoted:
    """Context of what a recorder itself does, and not forward: its errors are noted (`RecorderState.refuse`).

    A class, because a generator would take a twentieth of the time of small ops.
    """

    __slots__ = ("_recorder",)

    def __init__(self, recorder: RecorderState) -> None:
        self._recorder = recorder

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Note the error, which is raised all the same."""
        if isinstance(error, Exception):
            self._recorder.refuse(error, on_values=True)
