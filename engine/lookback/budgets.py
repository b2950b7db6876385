"""How fast an error budget burns: the error rate as a multiple of the one that would use the budget up evenly.

    objective gte p (good over total):  (1 - ratio) / (1 - p)
    objective lte p (bad over total):        ratio / p

At 1 the budget lasts exactly as long as the objective's period, at 14.4 one hour uses 2 % of that of 30 days. Source:
The Site Reliability Workbook (Google, 2018), chapter 5, Alerting on SLOs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.catalog.model import Objective

Floats = npt.NDArray[np.float64]

_DECIMALS: Final = 9  # 0.0144 of a budget of 0.001 is 14.4, not 14.399999999999999


@dataclass(frozen=True, slots=True, eq=False)
class Burns:
    """Burn rates by (row, pair of windows), in the order of the rule's windows, to 9 decimals; NaN where there were no
    events.
    """

    long: Floats
    short: Floats

    def __len__(self) -> int:
        return len(self.long)


def burn_rates(ratio: Floats, objective: Objective) -> Floats:
    """NaN for NaN, and everywhere where the objective leaves no budget (gte 1, lte 0, between)."""
    if objective.op == "between":
        return np.full_like(ratio, np.nan)
    budget = float(1 - objective.value if objective.op == "gte" else objective.value)
    if budget <= 0:
        return np.full_like(ratio, np.nan)
    return np.round((1 - ratio if objective.op == "gte" else ratio) / budget, _DECIMALS)
