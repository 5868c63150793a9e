"""The object's names from prompt records: a run repeats without any tagger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.core.errors import ConfigError
from benchmark.core.samples import Sample
from benchmark.core.settings import FolderPath
from benchmark.models.choice import ResolvedWeights
from benchmark.pipelines.iap.records import find_records, only
from benchmark.pipelines.iap.taggers.base import Tagged, Tagger
from benchmark.stages.context import Context


class CachedTagger(Tagger):
    """Takes the object's names from the records of an earlier run."""

    path: FolderPath | None
    """Folder of prompts; None: that of this project's results."""

    def identity(self) -> Mapping[str, Any]:
        """Return the kind."""
        return {"kind": "cached"}

    def check(self) -> None:
        """Raise ConfigError where the folder is given and is none."""
        if self.path is not None and not self.path.is_dir():
            raise ConfigError(f"pipeline.tagger.path={self.path} is not a folder; name one with prompt records")

    def look(
        self,
        context: Context,
        chosen: Mapping[str, ResolvedWeights],
        normals: Sequence[Sample],
        *,
        dataset: str,
        category: str,
    ) -> Tagged:
        """Return the names; raises ConfigError where there is no record, or records that disagree."""
        folder = self.path or context.prompts_root
        found = find_records(folder, dataset=dataset, category=category)
        names = {tuple(one.name for one in r.objects): path for path, r in found if "tagging" in r.steps}
        objects = only(names, what="object", category=category, key="pipeline.tagger.path")
        return Tagged(objects=objects, source=names[objects].name)
