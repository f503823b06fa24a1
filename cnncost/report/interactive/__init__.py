"""Builds the plain data from which the JavaScript program of an HTML page draws; the program computes no figure."""

from cnncost.report.interactive.summary import interactive, small, summary

__all__ = ["interactive", "small", "summary"]
