"""Interpretation of MODEL and --input, one file per kind of source."""
