"""Where the stage store of a run lies, and how any process opens it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmark.core.memory import Memory
from benchmark.stages.store import Store, store_root

COPIES_BYTES = 20_000_000_000
"""What copies and large entries beside an address may take on this machine where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class StorePlace:
    """All that a process needs to open the store: plain values, so that it can be sent to other machines."""

    root: str | Path
    """Cache folder (a ``Path``) or address (a ``str``)."""
    local: Path
    """Cache folder of this machine where ``root`` is an address."""
    remote_bytes: int = 1_000_000
    """Stages whose entries are expected to be larger keep them in ``local`` where ``root`` is an address."""
    max_bytes: int | None = None
    """Of the store's entries on this machine; None: no limit, and ``COPIES_BYTES`` beside an address."""

    def open(self, *, memory: Memory | None = None) -> Store:
        """Open the store; at an address that is one request.

        Raises:
            StoreError: the address cannot be used.
        """
        if isinstance(self.root, Path):
            return Store(store_root(self.root), max_bytes=self.max_bytes, memory=memory)
        from benchmark.stages.remote_store import RemoteStore

        limit = COPIES_BYTES if self.max_bytes is None else self.max_bytes
        return RemoteStore(
            f"{self.root}/stages", local=self.local, max_bytes=limit, largest=self.remote_bytes, memory=memory
        )
