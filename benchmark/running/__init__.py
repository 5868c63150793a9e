"""Dataset × pipeline × protocol to a result: one run, many points, shards, and papers' tables."""
