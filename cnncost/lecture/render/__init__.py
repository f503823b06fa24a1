"""Views of findings: each takes the same tables, and computes nothing."""
