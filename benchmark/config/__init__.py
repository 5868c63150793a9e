"""From conf/ to typed settings."""
