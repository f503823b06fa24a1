"""Serving a model token by token from a cache: prefill, decode, and the cache between them."""

from cnncost.decoding.figures import Cache, Course, Serving
from cnncost.decoding.run import serving

__all__ = ["Cache", "Course", "Serving", "serving"]
