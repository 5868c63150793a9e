"""How programs end: one message without credentials, and an exit status."""

from __future__ import annotations

import pytest

from benchmark.core.commands import reporting
from benchmark.core.errors import DataError


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DataError("http://me:geheim@host/ cannot be reached"), 1, "error: http://***@host/ cannot be reached\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_an_error_ends_in_one_message(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    @reporting
    def main() -> int:
        raise error

    assert main() == status
    assert capsys.readouterr().err == said


def test_other_errors_and_results_pass_through() -> None:
    assert reporting(lambda: 3)() == 3
    with pytest.raises(ZeroDivisionError):
        reporting(lambda: 1 // 0)()
