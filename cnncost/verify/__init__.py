"""Counts the same model with other tools and explains every difference from cnncost's count.

    model ──▶ Graph ──rules of a peer──▶ predicted count of the peer ─┐
      └─────▶ the peer itself ─────────▶ its actual count ────────────┴─▶ explained, or not

The other tools ("peers") are fvcore's `FlopCountAnalysis` and torch's `FlopCounterMode`. Rules taken from a peer's
source predict, from cnncost's own Graph, what the peer counts for each op. A difference is explained only if the
prediction equals the peer's number exactly, for each of the peer's ops; the rest is reported as unexplained, with
its op and amount.
"""

from cnncost.verify.result import Explanation, PeerCount, Unexplained, Verification
from cnncost.verify.run import verify

__all__ = ["Explanation", "PeerCount", "Unexplained", "Verification", "verify"]
