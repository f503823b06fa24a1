"""How fast an analysis is, beside the model's own forward without data and beside fvcore.

    python tests/benchmarks/speed.py

Everything is measured in this one process, in turns, so that the machine's moods hit all alike; the ratios are what
counts. "cold" is with an empty memo, "second" the same model once more, "warm" any time after it, when its
skeleton is kept; all include the whole report (totals, rows, op table). fvcore needs real weights and runs a real
forward to trace the model. Each network is measured as it is after it is built (train mode), and in eval mode.
"""

import gc
import itertools
import logging
import platform
import statistics
import time
import warnings

import torch
from fvcore.nn import FlopCountAnalysis
from vit import ViT

import cnncost
from cnncost import zoo
from cnncost.frontends.torch import memo, skeleton_cache
from cnncost.ops.registry import forget_costs

INPUT = (1, 3, 224, 224)
NETWORKS = {
    "resnet50": lambda: zoo.build("resnet50"),
    "resnet152": lambda: zoo.build("resnet152"),
    "vgg19": lambda: zoo.build("vgg19"),
    "vit_b_16": ViT,
}


def clock(function):
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def measure(build, train, rounds=15):
    with torch.device("meta"):
        model = build().train(train)
    x = torch.empty(INPUT, device="meta")

    def analyze():
        report = cnncost.analyze(model, x)
        return report.totals.macs, report.layers, report.ops

    def forget():
        memo.clear()
        skeleton_cache.clear()
        forget_costs()

    for warm_up in (analyze, forget, analyze, lambda: model(x)):
        warm_up()
    times = {"forward": [], "cold": [], "second": [], "warm": []}
    for _ in range(rounds):
        forget()
        times["cold"].append(clock(analyze))
        times["second"].append(clock(analyze))
        times["warm"].append(clock(analyze))
        times["warm"].append(clock(analyze))
        times["forward"].append(clock(lambda: model(x)))
    return {name: statistics.median(values) for name, values in times.items()}


def measure_fvcore(build, train, rounds=5):
    """As its users call it, with grad on; the first call warms up."""
    model, x = build().train(train), torch.randn(INPUT)
    FlopCountAnalysis(model, x).total()
    return statistics.median(clock(lambda: FlopCountAnalysis(model, x).total()) for _ in range(rounds))


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(2)
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    print("milliseconds, medians; ratios in the last columns\n")
    heads = (
        "network",
        "mode",
        "forward",
        "fvcore",
        "cold",
        "second",
        "warm",
        "cold/fwd",
        "warm/fwd",
        "fvcore/cold",
        "fvcore/warm",
    )
    print("".join(f"{head:>12}" for head in heads))
    for (name, build), train in itertools.product(NETWORKS.items(), (True, False)):
        own = measure(build, train)
        other = measure_fvcore(build, train)
        gc.collect()
        mode = "train" if train else "eval"
        forward, cold, warm = own["forward"], own["cold"], own["warm"]
        numbers = (
            forward,
            other,
            cold,
            own["second"],
            warm,
            cold / forward,
            warm / forward,
            other / cold,
            other / warm,
        )
        print(f"{name:>12}{mode:>12}" + "".join(f"{n:12.2f}" for n in numbers))


if __name__ == "__main__":
    main()
