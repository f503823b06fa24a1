"""Models of three zoos, small, each run for real under the allocator's events and analyzed: the work of one process.

A model is run, unless what that gave is `measured` already: it holds as long as torch and the zoos are the same. Then
it is analyzed on the same inputs.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE / "conformance")]

SIDES = (64, 96, 128, 160, 192, 224, 240, 256, 288, 320, 384)
BATCH = 2
"""Of images: batch norm in train mode refuses one value per channel."""
LARGEST = 45 * 10**7
"""Parameters of what is run."""
MOST = 8 * 2**30
"""Bytes that this process may have: a model that needs more fails by itself, and takes none of its neighbours along."""
SECONDS = 60
"""Of the processor's time that a model may take to be run, and to be analyzed: a busy machine is not to decide."""
CAPS = (
    {
        **dict.fromkeys("num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers depth".split(), 2),
        **dict.fromkeys("hidden_size d_model n_embd dim embed_dim".split(), 256),
        **dict.fromkeys("intermediate_size d_ff ffn_dim encoder_ffn_dim decoder_ffn_dim n_inner".split(), 512),
        **dict.fromkeys(
            "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads".split(), 4
        ),
        "num_key_value_heads": 2, "head_dim": 64, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 8,
        "moe_intermediate_size": 256, "vocab_size": 1000,
    },
    {
        **dict.fromkeys("num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers".split(), 2),
        "vocab_size": 1000,
    },
    dict.fromkeys("num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers".split(), 2),
    {},
)  # fmt: skip
"""What a configuration of Transformers is cut to, the smallest first: not each takes each."""
_PER_LAYER = ("layer_types", "mlp_layer_types", "layers_block_type")


def ready() -> None:
    """Prepare a process: import all that is slow to import, keep quiet, and bound its memory and time."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGPROF, late)
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    import torch

    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)  # it keeps intermediates inside of one kernel: a workspace
    importlib.import_module("torchvision_cpu").install()
    resource.setrlimit(resource.RLIMIT_DATA, (MOST, MOST))
    for name in ("timm", "torchvision", "transformers", "cnncost.analysis"):
        importlib.import_module(name)
    gc.freeze()  # what was imported stays: to look through it again for each model takes most of the time


def choices(entry: dict[str, Any]) -> Any:
    """Arguments and image sides to try, the smallest first."""
    zoo, given = entry["zoo"], entry["arguments"]
    if zoo == "transformers":
        for caps in CAPS:
            yield {"arguments": {**cut(entry["model"], caps), **given}, "side": None}
    elif zoo == "timm":
        for side in SIDES:
            yield {"arguments": {**given, "img_size": side}, "side": side}
            yield {"arguments": given, "side": side}
    else:
        for side in SIDES:
            yield {"arguments": given, "side": side}
    yield {"arguments": given, "side": None}


def cut(model: str, caps: dict[str, int]) -> dict[str, Any]:
    """Fields of a Transformers configuration that are larger than these, cut down to them; those of its parts, too."""
    import transformers

    kind = transformers.models.auto.configuration_auto.CONFIG_MAPPING[model.removeprefix("hf:")]
    return _cut(kind(), caps)


def _cut(config: Any, caps: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, most in caps.items():
        value = getattr(config, name, None)
        if type(value) is int and value > most:
            found[name] = most
    if layers := next((found[n] for n in ("num_hidden_layers", "n_layer", "num_layers") if n in found), None):
        for name in _PER_LAYER:
            if isinstance(each := getattr(config, name, None), list):
                found[name] = each[:layers]
    for name, part in vars(config).items():
        if hasattr(part, "to_dict") and (inside := _cut(part, caps)):
            found[name] = inside
    return found


def resolved(entry: dict[str, Any], choice: dict[str, Any]) -> Any:
    """The model without weights, and its inputs."""
    from cnncost.sources.resolve import resolve

    found = resolve(entry["model"], None, choice["arguments"])
    inputs, side = found.inputs, choice["side"]
    if side is not None and isinstance(inputs, tuple) and len(inputs) == 4 and all(type(n) is int for n in inputs):
        found = resolve(found, (BATCH, inputs[1], side, side), None)
    return found


def measure(entry: dict[str, Any]) -> dict[str, Any]:
    """Bytes beyond what was there before the run, in inference and in a training step: raw, and of tensors."""
    import torch
    from oracles.allocations import peaks

    torch.manual_seed(0)
    failure = ""
    for choice in choices(entry):
        try:
            found = resolved(entry, choice)
            parameters = sum(p.numel() for p in found.model.parameters())
            if parameters > LARGEST:
                return {"not_run": f"{parameters:,} parameters"}
            found.record("static")
        except Exception as error:  # noqa: BLE001  # not this size
            failure = said(error)
            continue
        break
    else:
        return {"not_run": f"no static analysis: {failure}"}
    model, given = found.with_weights(), valued(found.inputs)
    args, kwargs = ((), given) if isinstance(given, dict) else (given if isinstance(given, tuple) else (given,), {})
    row: dict[str, Any] = {
        "choice": choice, "parameters": parameters, "before": held(model, given),
        "input": "x".join(map(str, found.inputs)) if isinstance(found.inputs, tuple) else " ".join(sorted(given)),
    }  # fmt: skip

    def infer(copy: Any) -> Any:
        with torch.inference_mode():
            return copy(*args, **kwargs)

    def train(copy: Any) -> Any:
        out = copy(*args, **kwargs)
        loss = total(out)
        loss.backward()
        return out, loss

    def fresh() -> Any:
        """As it was built: some keep on themselves what a first forward made."""
        return deepcopy(model)

    for mode, run in (("inference", infer), ("training", train)):
        model.train(mode == "training")
        try:
            row[mode] = peaks(run, fresh)._asdict()
        except Exception as error:  # noqa: BLE001  # that is a finding about the model
            row[f"{mode}_failed"] = said(error)
    return row


def predict(entry: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    """The same by analysis: total bytes at the peaks, exact and with workspaces."""
    import cnncost

    row: dict[str, Any] = {}
    for training in (True, False):  # forward, and a step where there is one
        try:
            report = cnncost.analyze(resolved(entry, choice), training=training)
            memory = report.memory
        except Exception as error:  # noqa: BLE001  # a finding
            row[f"{'training' if training else 'inference'}_failed"] = said(error)
            continue
        for mode in ("inference", "training")[: 1 + training]:
            row[mode] = getattr(memory, f"{mode}_peak")
            row[f"{mode}_raw"] = getattr(memory, f"{mode}_peak_with_workspaces")
            at = getattr(memory, mode).peak
            row[f"{mode}_at"] = f"{at.op} in {at.path}"
        row["unseen"] = list(memory.figures.unseen)
        runs = {"inference": report.graph, "training": report.training}
        row["chance"] = [mode for mode, run in runs.items() if run and run.real and run.real.chance]
        break
    return row


def valued(inputs: Any) -> Any:
    """Tensors in place of shapes."""
    import torch

    if isinstance(inputs, dict):
        return {name: valued(each) for name, each in inputs.items()}
    if isinstance(inputs, tuple) and inputs and all(type(n) is int for n in inputs):
        return torch.rand(inputs)
    if isinstance(inputs, (list, tuple)):
        return type(inputs)(valued(each) for each in inputs)
    return inputs


def held(model: Any, given: Any) -> int:
    """Bytes that are there before the run: parameters, buffers, tensors that are plain attributes, and inputs."""
    plain = [value for module in model.modules() for value in tensors(dict(vars(module)))]
    storages = {t.untyped_storage() for t in (*model.parameters(), *model.buffers(), *plain, *tensors(given))}
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def tensors(result: Any) -> Any:
    """All in what forward takes or returns."""
    import torch

    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, dict):
        for each in result.values():
            yield from tensors(each)
    elif isinstance(result, (list, tuple)):
        for each in result:
            yield from tensors(each)
    elif is_dataclass(result) and not isinstance(result, type):
        for field in fields(result):
            yield from tensors(getattr(result, field.name))


def total(out: Any) -> Any:
    """The loss that the analysis takes where none is named: the output's own, else the sum of all outputs."""
    own = out.get("loss") if isinstance(out, dict) else getattr(out, "loss", None)
    if own is not None:
        return own
    return sum(each.sum() for each in tensors(out) if each.requires_grad)


def said(error: BaseException) -> str:
    """One line."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} ({Path(frame.filename).name}:{frame.lineno}): {' '.join(str(error).split())[:300]}"


def both(entry: dict[str, Any], measured: dict[str, Any] | None) -> dict[str, Any]:
    """What running a model gives, unless it is given, and what analyzing it gives."""
    row = measured or timed(measure, entry)
    return {"measured": row, "predicted": timed(predict, entry, row["choice"]) if "choice" in row else None}


def grown() -> bool:
    """Whether so much of `MOST` stayed taken (oneDNN caches primitives) that another process should do the rest."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmData"].split()[0]) * 1024 > MOST // 4


class Late(BaseException):
    """Too long: no `except Exception` on the way is to keep it."""


def late(*_: Any) -> None:
    """What the timer calls."""
    raise Late(f"not done in {SECONDS} s")


def timed(work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """The row with the seconds it took, or why there is none."""
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        row = work(*args)
    except Late as error:
        row = {"not_run": str(error)}
    except Exception as error:  # noqa: BLE001  # the next model is tried
        row = {"not_run": said(error)}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    row["seconds"] = round(time.process_time() - begun, 2)
    return row
