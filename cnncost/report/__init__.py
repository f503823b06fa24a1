"""The Report, and one file a renderer."""
