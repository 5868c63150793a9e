"""Asking a language model: providers, limits and budget, answers kept, and keys that go nowhere else."""
