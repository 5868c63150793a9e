"""What papers reported: their tables and numbers, and whether ours can be compared with them."""
