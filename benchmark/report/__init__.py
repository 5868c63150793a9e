"""What a reader sees of results: tables, plots, the page, and papers' numbers beside ours."""
