"""Result files that are damaged are told in one line, without a colon that nothing stands before."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.core.errors import DataError, ResultsError
from benchmark.core.resources import REFERENCE
from benchmark.results import files
from benchmark.results.export_index import INDEX, read_index


@pytest.mark.parametrize(("content", "told"), [("[]", "the file: Input should be an object"), ("{}", "id: Field req")])
def test_a_file_of_another_kind_is_told_with_its_place(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / files.RESULT).write_text(content)
    with pytest.raises(ResultsError, match=rf"is not a result file of this version \({told}"):
        files.read_result(tmp_path)
    (tmp_path / INDEX).write_text("[]")
    with pytest.raises(DataError, match=r"not the index of an export of this version \(the file: Input should be"):
        read_index(tmp_path)


def test_a_file_that_was_cut_off_is_told(tmp_path: Path) -> None:
    (tmp_path / files.RESULT).write_bytes((REFERENCE / "sat-patchcore" / files.RESULT).read_bytes()[:500])
    with pytest.raises(ResultsError, match=r"\(the file: Invalid JSON: EOF"):
        files.read_result(tmp_path)
