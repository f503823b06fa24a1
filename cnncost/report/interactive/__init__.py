"""What the program of an HTML page draws, as plain data: everything it shows is computed here, once."""

from cnncost.report.interactive.summary import interactive, small, summary

__all__ = ["interactive", "small", "summary"]
