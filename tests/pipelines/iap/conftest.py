"""Fixtures of the tests of IAP-AS."""

from __future__ import annotations

import pytest

from tests.pipelines.iap.fixed import ANSWERS
from tests.pipelines.saa.fakes import FakeModels


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> FakeModels:
    fakes = FakeModels(ANSWERS)
    fakes.install(monkeypatch)
    return fakes
