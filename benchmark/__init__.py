"""A reproducible benchmark harness for foundation-model defect inspection."""

__version__ = "0.1.0"
