"""What the shell offers for a line that ends where the cursor is."""

from __future__ import annotations

from tests.streamgauge.conftest import Run


def completed(command: Run, words: str, **variables: str) -> list[str]:
    """As bash asks for it when Tab is pressed."""
    position = str(len(words.split(" ")) - 1)
    asked = {"_STREAMGAUGE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position}
    return command(**asked, **variables).out.split()
