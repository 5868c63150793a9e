"""Exact metrics: one counting core, and pure functions of its counts."""
