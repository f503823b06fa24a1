"""Builds the plain data that an HTML page's JavaScript draws; the JavaScript computes no figure."""

from cnncost.report.interactive.summary import interactive_page, notebook_page, summary

__all__ = ["interactive_page", "notebook_page", "summary"]
