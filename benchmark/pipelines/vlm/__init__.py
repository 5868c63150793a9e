"""Vision-language models as classifiers: one prompt, answer, store and scoring path for every provider."""
