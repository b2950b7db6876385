"""Close matches for names and words that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def close_to(word: str, known: Sequence[str]) -> str | None:
    """The known word that is most like this one, if any is like it at all."""
    folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def one_of(word: str, known: Sequence[str], noun: str) -> str:
    """What to write instead of an unknown word."""
    close = close_to(word, known)
    if close is not None:
        return f'did you mean "{close}"?'
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"{noun} are: {shown}" if known else f"there are no {noun}"
