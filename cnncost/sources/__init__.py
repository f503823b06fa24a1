"""Turns MODEL and --input into a model with inputs: a file for each kind of source (zoo, Python code, timm, …)."""
