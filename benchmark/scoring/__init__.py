"""How a prediction is scored: protocols, counts, metrics and their intervals."""
