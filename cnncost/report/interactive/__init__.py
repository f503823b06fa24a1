"""Builds the plain data that an HTML page's JavaScript draws; the JavaScript computes no figure."""

from cnncost.report.interactive.summary import interactive, small, summary

__all__ = ["interactive", "small", "summary"]
