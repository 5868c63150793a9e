"""Our pipelines and the methods' official repositories, side by side on the same random weights."""
