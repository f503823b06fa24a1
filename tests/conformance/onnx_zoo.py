"""Sixty models of torchvision, timm and Transformers, written by both of torch's exporters, beside the torch front end.

    python tests/conformance/onnx_zoo.py [--sample] [--only NAME] [--journal FILE]

Needs the extra `zoos`, and onnxruntime and onnxscript. Each is exported with default settings at a small input.
Parameters and MACs of the file are held against those of the module, receptive fields of the rows that both have too,
and the shape of every tensor against ONNX Runtime's real run. What the exporter has changed is explained by facts that
come from torch alone: norms whose input is a convolution's output, parameters without a gradient, buffers by name.
Writes `reports/onnx.md`; a run that was interrupted goes on by its journal.
"""

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent), str(HERE)]

from onnx_zoo_page import PAGE, faults, page  # noqa: E402

import cnncost  # noqa: E402  # of this tree

TORCHVISION = [
    "alexnet", "vgg11_bn", "resnet18", "resnet50", "resnext50_32x4d", "densenet121", "googlenet", "mobilenet_v2",
    "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "squeezenet1_1", "efficientnet_b0", "regnet_y_400mf",
    "convnext_tiny", "vit_b_32", "swin_t", "fcn_resnet50", "lraspp_mobilenet_v3_large", "r3d_18",
]  # fmt: skip
TIMM = [
    "resnet26d", "resnetv2_50", "seresnet50", "ecaresnet26t", "res2net50_26w_4s", "dla34", "hrnet_w18_small",
    "regnetx_002", "mobilenetv4_conv_small", "ghostnet_100", "efficientnet_lite0", "convmixer_768_32",
    "convnextv2_atto",
    "repvgg_a0", "cspresnet50", "lcnet_050", "tinynet_e", "selecsls42b", "nfnet_l0", "vit_tiny_patch16_224",
    "deit_tiny_patch16_224", "mixer_s32_224", "levit_128s", "edgenext_xx_small", "poolformer_s12",
]  # fmt: skip
TRANSFORMERS = [
    "bert", "roberta", "distilbert", "gpt2", "opt", "electra", "albert", "gpt_neox", "llama", "qwen2", "mistral",
    "gemma", "vit", "resnet", "t5",
]  # fmt: skip
SAMPLE = ["torchvision:resnet18", "timm:lcnet_050", "hf:bert"]
FIXED = {"vit_b_32": 224, "swin_t": 224, "vit_tiny_patch16_224": 224, "deit_tiny_patch16_224": 224,
         "mixer_s32_224": 224, "levit_128s": 224, "alexnet": 224, "vgg11_bn": 224, "vit": 224}  # fmt: skip
SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "vocab_size": 500,
    "intermediate_size": 96,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
SECONDS = 300
EXPORTERS = ("torchscript", "dynamo")


def names():
    return [f"{zoo}:{name}" for zoo, found in (("torchvision", TORCHVISION), ("timm", TIMM), ("hf", TRANSFORMERS))
            for name in found]  # fmt: skip


def built(model):
    """The module, with random weights (exporters merge equal ones), its input, and whether it is a CNN."""
    import torch

    torch.manual_seed(0)
    zoo, name = model.split(":")
    if zoo == "torchvision":
        import torchvision

        how = {"weights_backbone": None} if name.startswith(("fcn", "lraspp")) else {}
        if name == "googlenet":
            how = {"aux_logits": False, "init_weights": False}
        module = torchvision.models.get_model(name, weights=None, **how)
    elif zoo == "timm":
        import timm

        module = timm.create_model(name)
    else:
        module = _transformer(name)
    side = FIXED.get(name, 64)
    if zoo == "hf" and name not in {"vit", "resnet"}:
        x = torch.randint(1, 400, (1, 12))
    elif name == "r3d_18":
        x = torch.randn(1, 3, 8, 48, 48)
    else:
        x = torch.randn(1, 3, side, side)
    module.eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.05)
        for path, buffer in module.named_buffers():
            if path.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1.5)
    return module, x


def _transformer(name):
    import torch
    from transformers import AutoConfig, AutoModel

    if name == "gpt2":
        config = AutoConfig.for_model(name, n_layer=2, n_embd=64, n_head=4, vocab_size=500)
    elif name == "distilbert":
        config = AutoConfig.for_model(name, n_layers=2, dim=64, n_heads=4, hidden_dim=96, vocab_size=500)
    elif name == "resnet":
        config = AutoConfig.for_model(name, depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 64, 128], embedding_size=16)
    elif name == "t5":
        config = AutoConfig.for_model(name, num_layers=2, d_model=64, d_kv=16, d_ff=96, num_heads=4, vocab_size=500)
    elif name in {"llama", "qwen2", "mistral", "gemma"}:
        config = AutoConfig.for_model(name, **GROUPED, head_dim=16)
    else:
        extra = {"word_embed_proj_dim": 64, "ffn_dim": 96} if name == "opt" else {}
        extra |= {"embedding_size": 32} if name in {"albert", "electra"} else {}
        config = AutoConfig.for_model(name, **SMALL, **extra)
    config.use_cache = False
    if name == "t5":
        from transformers import T5EncoderModel

        inner = T5EncoderModel(config)
    else:
        inner = AutoModel.from_config(config, attn_implementation="eager")

    class First(torch.nn.Module):
        """The first output alone: exporters of files know no dataclasses."""

        def __init__(self):
            super().__init__()
            self.model = inner

        def forward(self, x):
            return self.model(x, attention_mask=torch.ones_like(x))[0] if x.dim() == 2 else self.model(x)[0]

    return First()


def facts(module, x):
    """From torch alone: parameters of norms right behind a convolution, and of those that no gradient reaches."""
    import torch

    convolutions = (torch.nn.modules.conv._ConvNd,)  # the base of all of them
    made, folded = {}, {}

    def after(each, _, y):
        if isinstance(each, convolutions):
            made[id(y)] = (y, each.bias is not None)

    def before(path):
        def note(each, given):
            if given and id(given[0]) in made and each.weight is not None:
                folded[path] = each.weight.numel() * (2 if made[id(given[0])][1] else 1)

        return note

    batch_norms = (torch.nn.modules.batchnorm._BatchNorm,)
    hooks = [each.register_forward_hook(after) for each in module.modules()]
    hooks += [each.register_forward_pre_hook(before(path)) for path, each in module.named_modules()
              if isinstance(each, batch_norms)]  # fmt: skip
    y = module(x)
    for hook in hooks:
        hook.remove()
    y = y["out"] if isinstance(y, dict) else y
    y.sum().backward()
    unread = {path: p.numel() for path, p in module.named_parameters() if p.grad is None}
    module.zero_grad(set_to_none=True)
    return folded, unread


def stored(path):
    """Elements by name of what the file stores in floating point."""
    from math import prod

    import onnx

    graph = onnx.load_model(path).graph
    floating = {1, 10, 11, 16}
    statistics = {name for node in graph.node if node.op_type == "BatchNormalization" for name in node.input[3:]}
    found = {t.name: prod(t.dims) for t in graph.initializer if t.data_type in floating}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value" and attribute.t.data_type in floating:
                found[node.output[0]] = prod(attribute.t.dims)
    norms = {name for node in graph.node if node.op_type == "InstanceNormalization" for name in node.input[1:]}
    constants = {node.output[0] for node in graph.node if node.op_type == "Constant"}  # which do nothing in a norm
    wide = {name: n for name, n in found.items() if (n > 1 or name in norms) and name not in norms & constants}
    return {name: n for name, n in wide.items() if name not in statistics}, {node.op_type for node in graph.node}


def outcome(model, exporter):
    """Figures of the module and of its file, and what explains that they differ."""
    import torch
    from onnx_runtime import compared

    started = time.perf_counter()
    module, x = built(model)
    own = cnncost.analyze(module, x)
    folded, unread = facts(module, x)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "m.onnx")
        with contextlib.redirect_stdout(sys.stderr), torch.no_grad():
            if exporter == "dynamo":
                torch.onnx.export(module, (x,), path, dynamo=True, external_data=False, verbose=False)
            else:
                torch.onnx.export(module, (x,), path, dynamo=False)
        report = cnncost.analyze(path)
        weights, ops = stored(path)
        import onnx

        proto = onnx.load_model(path)
        name = next(i.name for i in proto.graph.input)
        run = compared(proto, {name: x.numpy()}) if proto.ByteSize() < 2**28 else None
    parameters = {p: t.numel() for p, t in module.named_parameters(remove_duplicate=False)}
    seen = {id(t): p for p, t in module.named_parameters(remove_duplicate=False) if p in weights}  # one of its names
    tied = {p for p, t in module.named_parameters(remove_duplicate=False) if seen.get(id(t), p) != p}
    buffers = {p: t.numel() for p, t in module.named_buffers() if t.is_floating_point() and t.numel() > 1}
    statistics = {p for p in buffers if p.endswith(("running_mean", "running_var"))}
    return {
        "model": model, "exporter": exporter, "seconds": round(time.perf_counter() - started, 1),
        "torch": [own.totals.params, own.totals.macs], "file": [report.totals.params, report.totals.macs],
        "unknown": report.unknown, "unknown_torch": own.unknown,
        "folded": [len(folded), sum(folded.values())], "batch_norms": "BatchNormalization" in ops,
        "unread": unread,
        "buffers": {n: s for n, s in weights.items() if n in buffers and n not in statistics},
        "new": {n: s for n, s in weights.items() if n not in parameters and n not in buffers},
        "missing": {n: s for n, s in parameters.items() if n not in weights and n not in unread and n not in tied},
        "absent": absent(own, report), "fields": fields(own, report), "runtime": run and list(run),
    }  # fmt: skip


def fields(own, report):
    """How many rows of modules with weights both have, and those whose receptive fields differ."""
    ours = {row.path for row in report.layers if row.path and row.params}
    both = [row.path for row in own.layers if row.path in ours and row.params]
    wrong = {}
    for path in both:
        seen = []
        for each in (own, report):
            try:
                field = each.receptive_field(path)
            except cnncost.CnncostError:  # of no tensor with positions
                seen.append(None)
            else:
                seen.append((field.size, field.jump, field.start))
        if seen[0] != seen[1]:
            wrong[path] = [str(each) for each in seen]
    return [len(both), wrong]


def absent(own, report):
    """MACs of modules that have weights of their own in torch, by path, and are in no row of the file."""
    ours = {row.path for row in report.layers if row.macs}
    inner = {row.path.rpartition(".")[0] for row in own.layers}
    return {row.path: row.macs for row in own.layers if row.macs and row.path not in ours | inner}


def _child(model, exporter, pipe):
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        pipe.send(outcome(model, exporter))
    except Exception as error:  # noqa: BLE001  # an export fails in many ways: the table says which
        where = type(error).__name__
        pipe.send({"model": model, "exporter": exporter, "failed": f"{where}: {' '.join(str(error).split())[:300]}"})


def worked(model, exporter):
    """The outcome, by a process of its own."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=_child, args=(model, exporter, there))
    child.start()
    there.close()
    try:
        return here.recv() if here.poll(SECONDS) else {"model": model, "exporter": exporter, "failed": "took too long"}
    except EOFError:
        return {"model": model, "exporter": exporter, "failed": "the process died"}
    finally:
        child.kill()
        child.join()


def ready():
    """Import what is slow to import, once for all processes."""
    import torch
    import torchvision_cpu

    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)  # neither exporter knows its ops
    torchvision_cpu.install()
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401
    import timm  # noqa: F401
    import torchvision  # noqa: F401
    import transformers  # noqa: F401


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sample", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--exporter", default="")
    parser.add_argument("--journal", type=Path, default=Path(tempfile.gettempdir()) / "onnx_zoo.jsonl")
    options = parser.parse_args()
    done = {}
    if options.journal.exists() and not options.sample:
        for line in options.journal.read_text().splitlines():
            row = json.loads(line)
            done[row["model"], row["exporter"]] = row
    ready()
    for exporter in EXPORTERS:
        for model in SAMPLE if options.sample else names():
            if (model, exporter) in done or options.only not in model or options.exporter not in exporter:
                continue
            row = done[model, exporter] = worked(model, exporter)
            print(f"{model}, {exporter}: {row.get('failed', row.get('file'))}", flush=True)
            if not options.sample:
                with options.journal.open("a") as journal:
                    journal.write(json.dumps(row) + "\n")
    rows = [done[key] for exporter in EXPORTERS for model in names() if (key := (model, exporter)) in done]
    if not options.sample and not options.only and not options.exporter:
        PAGE.write_text(page(rows))
    wrong = {f"{row['model']}, {row['exporter']}": faults(row) for row in rows if faults(row)}
    for name, said in wrong.items():
        print(f"WRONG: {name}: {'; '.join(said)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
