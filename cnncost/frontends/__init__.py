"""Front ends: what turns a framework's model into a Graph."""
