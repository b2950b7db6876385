"""What the sender is told: of each event, by its index in the request, what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.dead_letters import Fault
from streams.gateway.refusals import Explaining
from streams.gateway.storing import Fate

STORED: Final = 202
AGAIN: Final = 503
_REFUSED: Final = {"too_large": 413, "unsupported_encoding": 415}
_OTHERWISE: Final = 422
_FAILED: Final = {
    Fate.NOT_STORED: "Kafka does not take it at the moment, so it was not stored; send it again",
    Fate.UNKNOWN: "Kafka did not answer in time, so it may be stored or not; send it again",
}
_TOO_LARGE: Final = "its topic takes no records as large as this; send less at once"
_REPEATED: Final = "; with its identity it counts once"


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is that of the whole: 202 when all is stored, 503 when sending all of it again helps, 207 when some
    is stored and the rest will never be, else what the first refusal says.
    """

    status: int
    body: dict[str, Any]
    detail: str


def answer(
    source: str, faults: Mapping[int, Fault], fates: Mapping[int, Fate], explaining: Explaining, *, identified: bool
) -> Answer:
    """Every index is in one of the two. ``identified``: the source's events have an identity."""
    results = []
    for index in sorted((*faults, *fates)):
        fate = fates.get(index)
        if fate is None:
            refusal = explaining.refusal(faults[index])
            found: dict[str, Any] = {
                "index": index,
                "status": _REFUSED.get(refusal.reason, _OTHERWISE),
                "reason": refusal.reason,
                "detail": refusal.detail,
            }
            if refusal.field is not None:
                found["field"] = refusal.field
        elif fate is Fate.STORED:
            found = {"index": index, "status": STORED}
        elif fate is Fate.TOO_LARGE:
            found = {"index": index, "status": 413, "reason": fate.value, "detail": _TOO_LARGE}
        else:
            detail = _FAILED[fate] + (_REPEATED if identified else "")
            found = {"index": index, "status": AGAIN, "reason": fate.value, "detail": detail}
        results.append(found)
    return told(source, results)


def told(source: str, results: list[dict[str, Any]]) -> Answer:
    """The answer to a request of at least one event."""
    statuses = Counter(found["status"] for found in results)
    stored, failed = statuses[STORED], statuses[AGAIN]
    body = {
        "source": source,
        "events": len(results),
        "stored": stored,
        "refused": len(results) - stored - failed,
        "failed": failed,
        "results": results,
    }
    wrong = next((found for found in results if found["status"] != STORED), None)
    if wrong is None:
        return Answer(STORED, body, "")
    first = wrong["detail"] if len(results) == 1 else f"event {wrong['index']}: {wrong['detail']}"
    if failed:
        why = next(found["detail"] for found in results if found["status"] == AGAIN)
        return Answer(AGAIN, body, why if len(results) == 1 else f"{stored} of {len(results)} events are stored: {why}")
    if stored:
        return Answer(207, body, f"{stored} of {len(results)} events are stored; {first}")
    return Answer(wrong["status"], body, first)
