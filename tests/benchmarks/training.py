"""How long the analysis of a training step takes, beside the model's own forward and backward without data.

    python tests/benchmarks/training.py

All in this one process, in turns. "bare" is forward and backward on tensors without data, nothing recorded; "step" is
`analyze(model, x, training=True)`, which runs an inference and a step, its report and its memory figures included;
"memory" is what the memory figures of inference add to a report.
"""

import statistics
import time

import torch
from vit import ViT

import cnncost
from cnncost import zoo
from cnncost.frontends.torch import memo, skeleton_cache
from cnncost.ops.registry import forget_costs

INPUT = (1, 3, 224, 224)
NETWORKS = {"resnet50": lambda: zoo.build("resnet50"), "vgg19": lambda: zoo.build("vgg19"), "vit_b_16": ViT}


def clock(function):
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def measure(build, rounds=9):
    with torch.device("meta"):
        model = build().train()
    x = torch.empty(INPUT, device="meta")

    def bare():
        model(x).sum().backward()
        model.zero_grad()

    def step():
        return cnncost.analyze(model, x, training=True).memory.training_peak

    def report():
        return cnncost.analyze(model, x).totals

    def with_memory():
        return cnncost.analyze(model, x).memory.inference_peak

    def forget():
        memo.clear()
        skeleton_cache.clear()
        forget_costs()

    times = {"bare": [], "cold": [], "warm": [], "report": [], "memory": []}
    for function in (bare, step, report, with_memory):
        function()
    for _ in range(rounds):
        forget()
        times["cold"].append(clock(step))
        times["warm"].append(clock(step))
        times["bare"].append(clock(bare))
        report()
        for _ in range(3):
            times["report"].append(clock(report))
            times["memory"].append(clock(with_memory))
    return {name: statistics.median(values) for name, values in times.items()}


def main():
    print("milliseconds, medians\n")
    heads = (
        "network",
        "bare",
        "step, cold",
        "step, warm",
        "cold/bare",
        "warm/bare",
        "report",
        "memory",
        "memory/report",
    )
    print("".join(f"{head:>14}" for head in heads))
    for name, build in NETWORKS.items():
        t = measure(build)
        extra = t["memory"] - t["report"]
        numbers = (
            t["bare"], t["cold"], t["warm"], t["cold"] / t["bare"], t["warm"] / t["bare"], t["report"], extra,
            extra / t["report"],
        )  # fmt: skip
        print(f"{name:>14}" + "".join(f"{n:14.2f}" for n in numbers))


if __name__ == "__main__":
    main()
