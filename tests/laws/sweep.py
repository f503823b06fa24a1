"""Laws of the zoos' models against direct analyses at random sizes: how many have one, and whether any is contradicted.

    python tests/laws/sweep.py              all; writes reports/formulas.md
    python tests/laws/sweep.py --report     the page of what was measured; no model is run
    python tests/laws/sweep.py --sample     every eighth model; nothing is written
    python tests/laws/sweep.py --only NAME  models with this in their name; nothing is written

Needs the extra `zoos`. What was measured is kept in build/laws as long as the code and the packages are the same: an
interrupted run goes on. Prints a line a model, and exits with 1 if a law was contradicted.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "conformance")]
import torchvision_cpu  # noqa: E402  # beside these tests
from kept import Kept  # noqa: E402  # beside the conformance run

import cnncost  # noqa: E402  # torchvision's ops come first
from cnncost.laws.samples import Failure  # noqa: E402


class Model(NamedTuple):
    """A model, and what varies. `config`: of Transformers, made tiny."""

    name: str
    vary: str
    inputs: Any = None
    config: dict[str, Any] | None = None


MOST = 128
"""How much larger than the smallest size of a law the sizes get, if its steps are small."""
B_H_W, B_S = "batch,height,width", "batch,sequence"
TINY = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "vocab_size": 99}
TORCHVISION = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mobilenet_v2",
    "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_1", "vgg11", "wide_resnet50_2", "fcn_resnet50", "deeplabv3_mobilenet_v3_large",
    "lraspp_mobilenet_v3_large", "inception_v3",
]  # fmt: skip
TIMM = [
    "resnet26", "resnetv2_50", "seresnet50", "ecaresnet26t", "res2net50_26w_4s", "dla34", "hrnet_w18_small",
    "regnetx_002", "mobilenetv4_conv_small", "ghostnet_100", "efficientnet_lite0", "convmixer_768_32",
    "convnextv2_atto", "repvgg_a0", "cspresnet50", "dpn48b", "hardcorenas_a", "lcnet_050", "tinynet_e", "selecsls42b",
]  # fmt: skip
FIXED = ["vit_tiny_patch16_224", "mixer_s32_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]
GROUPED = {**TINY, "num_key_value_heads": 2}
HF = [
    "bert", "roberta", "distilbert", "gpt2", "opt", "electra", "albert",
    "gpt_neox",
]  # fmt: skip
SPACES = [
    Model("1-D net", "batch,length", "1x2x256"), Model("3-D net", "batch,depth,size", "1x1x16x32x32"),
    Model("torchvision:r3d_18", "batch,height,width"), Model("torchvision:mc3_18", "batch,size"),
]  # fmt: skip


def models() -> list[Model]:
    """All models of the sweep."""
    found = [Model(f"torchvision:{name}", B_H_W) for name in TORCHVISION]
    found += [Model(f"timm:{name}", B_H_W) for name in TIMM]
    found += [Model(f"timm:{name}", "batch") for name in FIXED]
    found += [Model(f"hf:{name}", B_S, None, TINY) for name in HF]
    found += [Model(f"hf:{name}", B_S, None, GROUPED) for name in ("llama", "mistral", "qwen2", "gemma")]
    return found + SPACES


def built(model: Model) -> Any:
    """What `cnncost.formula` takes."""
    if model.name == "1-D net":
        return nn.Sequential(
            nn.Conv1d(2, 8, 7, 2, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 16, 5, 2, 2), nn.BatchNorm1d(16)
        ).eval()
    if model.name == "3-D net":
        return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 8, 3, padding=1))
    return model.name


class Judged(NamedTuple):
    """What was found of a model.

    Attributes:
        laws: quantities with a law.
        without: quantities without one, and why.
        compared: random points at which a direct analysis was held against a law.
        wrong: figures of direct analyses that contradict a law.
        analyses: that the laws were found and checked with.
        seconds: of a processor's, to find them.
        macs: the law of MACs.
        domain: where it holds.
        error: why there is nothing.
    """

    laws: tuple[str, ...] = ()
    without: dict[str, str] = {}  # noqa: RUF012  # never changed
    compared: int = 0
    wrong: int = 0
    analyses: int = 0
    seconds: float = 0.0
    macs: str = ""
    domain: str = ""
    error: str = ""


def judged(model: Model, points: int) -> Judged:
    """The laws of a model, held against direct analyses at random sizes, every third off the lattice."""
    begun = time.process_time()
    try:
        laws = cnncost.formula(
            built(model), model.inputs, model.vary, model_args=model.config, training=False, trace="auto"
        )  # fmt: skip
    except cnncost.CnncostError as error:
        return Judged(error=" ".join(str(error).split()))
    spent = time.process_time() - begun
    macs, random, wrong, compared = laws["macs"], Random(model.name), 0, 0  # noqa: S311
    seen = set(macs.samples)  # what the law was found with
    for index in range(4 * points if macs.domain else 0):
        finer = index % 3 == 2 and macs.everywhere is not None
        point = tuple(
            random.randrange(span.low, top(span) + 1, 1 if finer else span.step) for span in macs.domain
        )  # fmt: skip
        if point in seen:
            continue
        seen.add(point)
        found = contradictions(model, laws, point)
        compared, wrong = compared + (found is not None), wrong + len(found or ())
        if compared == points:
            break
    return Judged(
        tuple(name for name, law in laws.items() if law.known),
        {name: law.why for name, law in laws.items() if not law.known},
        compared, wrong, laws.analyses, round(spent, 1), str(macs.everywhere or macs), domain(macs),
    )  # fmt: skip


def top(span: Any) -> int:
    """The largest size that is tried."""
    return min(span.high, span.low + max(16 * span.step, MOST))


def contradictions(model: Model, laws: Any, point: tuple[int, ...]) -> list[str] | None:
    """Quantities whose law gives another number here than a direct analysis; None where no law is known to hold."""
    values = {}
    for quantity, law in laws.items():
        try:
            values[quantity] = law.at(point) if law.known else None
        except cnncost.errors.InputError:
            continue
    expected = {quantity: value for quantity, value in values.items() if value is not None}
    if not expected:
        return None
    sample = laws.sampler.at(point, full=True)
    given = {} if isinstance(sample, Failure) else sample.totals
    found = [quantity for quantity, value in expected.items() if given.get(quantity) != value]
    for quantity in found:
        sys.stderr.write(f"  CONTRADICTED {model.name} {quantity} {point}: {expected[quantity]}\n")
    return found


def domain(law: Any) -> str:
    """`height 32 to 2,048, multiples of 32; …`."""
    if law.everywhere is not None:
        law = law.everywhere
    told = (
        f"{name} {span.low:,} to {span.high:,}" + (f", {span.lattice}" if span.lattice else "")
        for name, span in zip(law.names, law.domain, strict=True)
    )
    return "; ".join(told)


def kept() -> Kept:
    """What was measured by this code with these packages."""
    found = hashlib.sha256()
    for path in (*sorted((ROOT / "cnncost").rglob("*.py")), Path(__file__)):
        found.update(path.read_bytes())
    packages = "-".join(packages_used().values())
    return Kept(ROOT / "build" / "laws" / f"{packages}-{found.hexdigest()[:12]}.jsonl")


def packages_used() -> dict[str, str]:
    """Of torch and of the zoos."""
    return {name: version(name) for name in ("torch", "torchvision", "timm", "transformers")}


def main() -> int:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", action="store_true", help="every eighth model; writes no report")
    parser.add_argument("--report", action="store_true", help="write the report of what was measured")
    parser.add_argument("--only", help="models whose name contains this; writes no report")
    parser.add_argument("--points", type=int, default=30)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torchvision_cpu.install()
    chosen = [model for model in models() if not given.only or given.only in model.name]
    if given.sample:
        chosen = chosen[::8]
    Random(0).shuffle(chosen)  # noqa: S311  # a run that is broken off has seen all kinds
    done, rows = kept(), {}
    for model in chosen:
        key = f"{model.name} {given.points}"
        if key not in done.found and not given.report:
            done.add(key, judged(model, given.points)._asdict())
            cnncost.clear_caches()
        if key in done.found:
            rows[model.name] = row = Judged(**done.found[key])
            told = row.error or f"{len(row.laws)} laws, {row.wrong} contradicted at {row.compared} points; {row.macs}"
            sys.stdout.write(f"{model.name} ({model.vary}): {told}\n")
            sys.stdout.flush()
    wrong = sum(row.wrong for row in rows.values())
    sys.stdout.write(f"{len(rows)} models, {sum(bool(row.laws) for row in rows.values())} with laws, {wrong} wrong\n")
    if not (given.sample or given.only):
        from sweep_page import page

        (ROOT / "reports" / "formulas.md").write_text(page(models(), rows, packages_used()), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
