"""The table of attacks says what is tried."""

from __future__ import annotations

import pytest

from tests.attack.table import HEAD, README, count, files, row


def test_the_table_is_what_the_tests_are(request: pytest.FixtureRequest) -> None:
    options = request.config.option
    counts = count(request.session.items)
    if (
        {name for name, _, _ in counts} != set(files())
        or options.keyword
        or any("::" in a for a in options.file_or_dir)
    ):
        pytest.skip("tells only where the whole folder is collected")
    text = README.read_text()
    assert text.startswith(HEAD), "run: python -m tests.attack.table"
    lines = text.removeprefix(HEAD).splitlines()
    wanted = [row(name, counts) for name in files()]
    if not any(slow for _, slow, _ in counts):  # they are not selected: the first four columns tell
        lines, wanted = ([line.split(" | ")[:4] for line in some] for some in (lines, wanted))  # type: ignore[misc]
    assert lines == wanted, "run: python -m tests.attack.table"
