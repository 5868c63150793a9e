"""Ways to reach a vision-language model; each turns a question into a raw reply and reads raw replies back."""
