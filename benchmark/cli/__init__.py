"""The command line: one module a command, which parses, calls what lies elsewhere in the package, and prints."""

OVERRIDES = ("run", "sweep")
"""Commands whose words are overrides, read by Hydra."""
COMMANDS = (
    *OVERRIDES,
    "reproduce",
    "compare",
    "report",
    "decide",
    "rows",
    "submit",
    "verify-submission",
    "export",
    "predict",
    "doctor",
    "latency",
    "data",
    "weights",
    "answers",
    "cache",
    "ui",
    "track",
    "tables",
    "reference",
)
