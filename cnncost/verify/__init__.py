"""Counts the same model with other tools and explains every difference from cnncost's count.

    model ──▶ Graph ──rules of a peer──▶ predicted count of the peer ─┐
      └─────▶ the peer itself ─────────▶ its actual count ────────────┴─▶ explained, or not

The other tools ("peers") are fvcore's `FlopCountAnalysis` and torch's `FlopCounterMode`, or onnx-tool for an ONNX file.
Rules taken from a peer's source code predict, from cnncost's own Graph, what the peer counts for each op. Differences
are explained only if the prediction for each of the peer's ops equals its count exactly; otherwise the remainder is
reported as unexplained, with the op and the amount.
"""

from cnncost.verify.result import Explanation, PeerCount, Unexplained, Verification
from cnncost.verify.run import verify

__all__ = ["Explanation", "PeerCount", "Unexplained", "Verification", "verify"]
