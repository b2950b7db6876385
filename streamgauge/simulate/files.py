"""The events as JSON Lines, a file for each source, in the order in which they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from streamgauge.simulate.business import Business


def event_file(folder: Path, source: str) -> Path:
    return folder / f"{source}.jsonl"


def write_history(business: Business, folder: Path) -> Iterator[int]:
    """Writes ``folder/SOURCE.jsonl``; yields, after each day, how many events it had. Raises OSError.

    A file has its name once it is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = {source: event_file(folder, source) for source in business.wanted}
    partial = {source: path.with_suffix(".partial") for source, path in whole.items()}
    with ExitStack() as stack:
        files = {source: stack.enter_context(path.open("wb")) for source, path in partial.items()}
        for day in business.history():
            events = 0
            for sent in day.sources:
                if sent.values:
                    files[sent.source].write(b"\n".join(sent.values) + b"\n")
                    events += len(sent)
            yield events
    for source, path in partial.items():
        path.replace(whole[source])
