"""Turns MODEL and --input into a model with inputs; each kind of source (zoo, Python code, timm, …) has a module."""
