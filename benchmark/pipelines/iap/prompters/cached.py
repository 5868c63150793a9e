"""Answers from prompt records: a run repeats without any language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.core.errors import ConfigError
from benchmark.core.settings import FolderPath
from benchmark.pipelines.iap.prompters.base import Answer, Prompter, Request
from benchmark.pipelines.iap.records import find_records, only
from benchmark.stages.context import Context


class CachedPrompter(Prompter):
    """Takes the answer for an object from the records of an earlier run."""

    path: FolderPath | None
    """Folder of prompts; None: that of this project's results."""

    def identity(self) -> Mapping[str, Any]:
        """Return the kind."""
        return {"kind": "cached"}

    def check(self) -> None:
        """Raise ConfigError where the folder is given and is none."""
        if self.path is not None and not self.path.is_dir():
            raise ConfigError(f"pipeline.prompter.path={self.path} is not a folder; name one with prompt records")

    def answer(self, context: Context, request: Request) -> Answer:
        """Return the raw answer; raises ConfigError where no record has one for this object, or where several differ.

        Records whose question was worded otherwise do not count.
        """
        folder = self.path or context.prompts_root
        found = find_records(folder, dataset=request.dataset, category=request.category)
        answers = {
            one.raw: path
            for path, record in found
            for one in record.answers
            if one.object == request.object and (one.system, one.user) == (request.system, request.user)
        }
        what = f"answer for {request.object!r}"
        raw = only(answers, what=what, category=request.category, key="pipeline.prompter.path")
        return Answer(raw=raw, facts={"kind": "cached", "record": answers[raw].name})
