"""Results of stages: read where they are stored, computed, timed, counted and kept where they are not."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmark.core.errors import BenchmarkError
from benchmark.core.text import counted
from benchmark.stages.batching import Batching
from benchmark.stages.codec import Artifact, plain
from benchmark.stages.explain import explain
from benchmark.stages.stage import Inputs, Stage
from benchmark.stages.store import Store

log = logging.getLogger(__name__)

_renewed: set[tuple[str, str, str]] = set()


def clear_renewed() -> None:
    """Forget which entries this process has written anew, so that ``refresh`` computes them once more."""
    _renewed.clear()


@dataclass
class StageStats:
    """What happened in one stage, counted in images."""

    computed: int = 0
    reused: int = 0
    """Read from the store, or shared with an equal image beside it."""
    elsewhere: int = 0
    """Of those computed, by other processes of this run, which put them into the store for this one to read."""
    dropped_corrupt: int = 0
    """Damaged entries met, removed and computed again."""
    seconds: float = 0.0
    """Time inside ``Stage.compute``."""
    waiting: float = 0.0
    """Seconds that it waited for images that were not yet decoded."""
    storing: float = 0.0
    """Seconds of reading and writing its entries."""
    images_at_once: int = 0
    """Images of its largest batch."""

    @property
    def there_before(self) -> int:
        """Those reused that no process of this run computed."""
        return max(0, self.reused - self.elsewhere)


class StageCache:
    """The results of one run's stages in the store.

    Args:
        store: where they are kept.
        refresh: compute each entry once anew in this process, whatever is stored.
        batching: how many images a stage gets at once.
    """

    def __init__(self, store: Store, *, refresh: bool = False, batching: Batching | None = None) -> None:
        self.store = store
        self.refresh = refresh
        self.batching = batching or Batching()
        self.stats: dict[str, StageStats] = {}
        """By stage name."""
        self.settled: frozenset[str] = frozenset()
        """Names of stages that ``refresh`` leaves alone: another process has just computed them anew."""
        self._explained: set[str] = set()

    def stage_stats(self, stage: Stage) -> StageStats:
        """Return the counters of a stage."""
        return self.stats.setdefault(stage.name, StageStats())

    def stored(self, stage: Stage, key: str) -> Artifact | None:
        """Read one entry, unless it is to be computed anew."""
        if self._outdated(stage, key):
            return None
        stats, start = self.stage_stats(stage), time.perf_counter()
        found = self._store(stage).lookup(stage.name, key)
        stats.storing += time.perf_counter() - start
        stats.dropped_corrupt += found.dropped
        return found.artifact

    def has(self, stage: Stage, key: str) -> bool:
        """Say whether ``stored`` would find a file, without reading it."""
        return not self._outdated(stage, key) and self._store(stage).contains(stage.name, key)

    def present(self, stage: Stage, keys: Iterable[str]) -> set[str]:
        """Return those of some keys for which ``stored`` would find a file, without reading any."""
        return self._store(stage).present(stage.name, [key for key in keys if not self._outdated(stage, key)])

    def is_shared(self, stage: Stage) -> bool:
        """Whether other machines find what this one stores."""
        return self._store(stage) is self.store

    def fetch(self, stages: Sequence[Stage], contents: Sequence[str]) -> None:
        """Bring onto this machine at once what is stored of some images, and of what has to be computed from.

        Args:
            stages: whose results are wanted.
            contents: the images' sha256.
        """
        for stage in stages:
            content_of = {stage.key(content): content for content in contents}
            wanted = [key for key in content_of if not self._outdated(stage, key)]
            if absent := self._store(stage).fetch(stage.name, wanted):
                self.fetch(stage.upstream, [content_of[key] for key in absent])

    def keep(self, stage: Stage, key: str, artifact: Artifact) -> None:
        """Store one computed result, with the description of its stage."""
        start = time.perf_counter()
        self._note(stage)
        self._store(stage).put(stage.name, key, artifact)
        self.stage_stats(stage).storing += time.perf_counter() - start
        if self.refresh:
            _renewed.add((str(self.store.root), stage.name, key))

    def compute(self, stage: Stage, inputs: Sequence[Inputs]) -> list[Artifact]:
        """Call a stage, timed and counted; check that it answers for every input."""
        stats = self.stage_stats(stage)
        start = time.perf_counter()
        try:
            artifacts = list(stage.compute(inputs))
        finally:
            stats.seconds += time.perf_counter() - start
        if len(artifacts) != len(inputs):
            told = f"{counted(len(artifacts), 'artifact')} for {counted(len(inputs), 'input')}"
            raise BenchmarkError(f"stage {stage.name!r} returned {told}")
        stats.computed += len(inputs)
        stats.images_at_once = max(stats.images_at_once, len(inputs))
        return [plain(artifact) for artifact in artifacts]

    def _outdated(self, stage: Stage, key: str) -> bool:
        renews = self.refresh and stage.name not in self.settled
        return renews and (str(self.store.root), stage.name, key) not in _renewed

    def _store(self, stage: Stage) -> Store:
        return self.store.for_entries_of(stage.expected_bytes)

    def _note(self, stage: Stage) -> None:
        """Describe the stage beside its entries; where it differs from what was stored before, say by what."""
        store = self._store(stage)
        if store.is_noted(stage.name, stage.fingerprint):
            return
        if stage.name not in self._explained and store.notes(stage.name):
            log.info("%s", explain(stage, store))
        self._explained.add(stage.name)  # one line a stage: a stage per category would fill the screen
        store.note(stage.name, stage.fingerprint, stage.facts)
