"""Behaviour that torch doesn't guarantee, and differences between its versions."""
