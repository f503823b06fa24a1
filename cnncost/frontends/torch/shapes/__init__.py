"""Output shapes of common ops, by rule.

Torch's meta kernels for these ops are written in Python and take most of a forward's time on tensors
without data, and the first of them to run imports torch's compiler; some ops (fused layers) have none. A
rule handles only the common case. For everything else it returns None, and torch's own kernel returns
the shape or raises the error.
"""

from cnncost.frontends.torch.shapes import layers, onednn, results, simple
from cnncost.frontends.torch.shapes.registry import gives_back, output_types, rule_names

__all__ = ["gives_back", "layers", "onednn", "output_types", "results", "rule_names", "simple"]
