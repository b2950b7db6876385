"""What both stages work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.catalog.model import Catalog
from sinks.prometheus import EngineMetrics
from streams.dedupe_files import DedupeFiles
from streams.engine_thread import EngineThread
from streams.local_copies import LocalCopies
from streams.producing import BulkWriter
from streams.topics import Layout
from streams.transport import Consumer


@dataclass(frozen=True, slots=True)
class Parts:
    """The connections and counters of one worker. ``consumer`` is there once the app has one."""

    catalog: Catalog
    layout: Layout
    consumer: Callable[[], Consumer]
    writer: BulkWriter
    engine: EngineThread
    metrics: EngineMetrics
    dedupe: DedupeFiles
    copies: LocalCopies | None = None
