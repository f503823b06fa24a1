"""Front ends, which turn a framework's model into a Graph."""
