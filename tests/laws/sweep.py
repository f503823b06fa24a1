"""Laws of the zoos' models against direct analyses at random sizes: how many have one, and whether any is contradicted.

    python tests/laws/sweep.py [--sample] [--only NAME] [--points 30]

Needs the extra `zoos`. Prints a line a model, and exits with 1 if a law was contradicted.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent))
import torchvision_cpu  # beside these tests

import cnncost  # torchvision's ops come first
from cnncost.laws.samples import Failure


class Model(NamedTuple):
    """A model, and what varies. `config`: of Transformers, made tiny."""

    name: str
    vary: str
    inputs: Any = None
    config: dict[str, Any] | None = None


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


def judged(model: Model, points: int) -> tuple[int, int, str]:
    """How many laws were found, how many direct analyses contradict them, and what there is to say."""
    begun = time.process_time()
    try:
        laws = cnncost.formula(
            built(model), model.inputs, model.vary, model_args=model.config, training=False, trace="auto"
        )  # fmt: skip
    except cnncost.CnncostError as error:
        return 0, 0, str(error)
    spent = time.process_time() - begun
    sampler, random, wrong = laws.sampler, Random(model.name), 0  # noqa: S311
    spans = laws["macs"].domain
    for index in range(points if spans else 0):
        finer = index % 3 == 2  # off the lattice, too
        point = tuple(
            random.randrange(span.low, min(span.high, 16 * span.step + span.low) + 1, 1 if finer else span.step)
            for span in spans
        )  # fmt: skip
        sample = sampler.at(point, full=True)
        for quantity, law in laws.items():
            if not law.known:
                continue
            try:
                value = law.at(point)
            except cnncost.errors.InputError:
                continue
            if isinstance(sample, Failure) or value != sample.totals[quantity]:
                wrong += 1
                sys.stderr.write(f"  CONTRADICTED {model.name} {quantity} {point}: {value}\n")
    known = sum(law.known for law in laws.values())
    floors = " and with floors" if laws["macs"].known and laws["macs"].everywhere is not None else ""
    unknown = "; ".join(f"{name} {law.why}" for name, law in laws.items() if not law.known)
    return known, wrong, f"{spent:.1f} s, {laws.analyses} analyses: {laws['macs']}{floors} {unknown}"


def main() -> int:
    """Run the sweep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", action="store_true", help="every eighth model")
    parser.add_argument("--only", help="models whose name contains this")
    parser.add_argument("--points", type=int, default=30)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torchvision_cpu.install()
    chosen = [model for model in models() if not given.only or given.only in model.name]
    if given.sample:
        chosen = chosen[::8]
    Random(0).shuffle(chosen)  # noqa: S311  # a run that is broken off has seen all kinds
    laws = contradictions = 0
    for model in chosen:
        known, wrong, said = judged(model, given.points)
        laws, contradictions = laws + (known > 0), contradictions + wrong
        sys.stdout.write(f"{model.name} ({model.vary}): {known} laws, {wrong} contradicted; {said}\n")
        sys.stdout.flush()
        cnncost.clear_caches()
    sys.stdout.write(f"{len(chosen)} models, {laws} with laws, {contradictions} contradictions\n")
    return 1 if contradictions else 0


if __name__ == "__main__":
    sys.exit(main())
