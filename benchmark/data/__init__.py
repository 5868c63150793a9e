"""Datasets: indexers, splits, cards, download and verification."""
