"""Expensive steps: computed once per image content, kept, and read again."""
