"""Output shapes of common ops, by rule.

Torch's meta kernels for these ops are written in Python and take most of the time of a forward on tensors without data;
the first one to run even imports torch's compiler. Some ops (fused layers) have no meta kernel. A rule handles only the
common case. For everything else it returns None, and torch's own kernel returns the shape or raises the error.
"""

from cnncost.frontends.torch.shapes import layers, onednn, results, simple
from cnncost.frontends.torch.shapes.registry import gives_back, output_types, rule_names

__all__ = ["gives_back", "layers", "onednn", "output_types", "results", "rule_names", "simple"]
