"""The version of cnncost; the wheel has it from here."""

__version__ = "0.1.0"
