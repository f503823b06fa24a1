"""What the program of an HTML page draws, as plain data: everything it shows is computed here, once."""

from cnncost.report.interactive.summary import interactive, summary

__all__ = ["interactive", "summary"]
