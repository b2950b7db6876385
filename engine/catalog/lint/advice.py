"""A word of advice about a valid catalog."""

from __future__ import annotations

from dataclasses import dataclass

from engine.catalog.drafts import Path, described


@dataclass(frozen=True, slots=True)
class Advice:
    """``rule`` is the file it comes from; ``path`` leads to what it is about, for `Loaded.locate`."""

    rule: str
    path: Path
    message: str
    hint: str = ""

    @property
    def subject(self) -> str:
        return described(self.path)[0]

    def __str__(self) -> str:
        subject = f"{self.subject}: " if self.subject else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{subject}{self.message}{hint} [{self.rule}]"
