"""How unlike its past a value is: the robust z-score of Iglewicz and Hoaglin.

    score = 0.6745 (x - median) / MAD

with the median of the past values and MAD, the median of their distances to it; 0.6745 MAD^-1 makes it a distance in
standard deviations where values are normal. One wild week moves neither median nor MAD, as it would a mean.

Where more than half of the past values are equal, MAD is 0, and the mean of the distances (MeanAD) takes its place:
(x - median) / (1.253314 MeanAD). And no spread is taken to be smaller than 1 % of the median, so that a constant past
does not make an anomaly of a cent. Where all of the past is 0 there is nothing to measure by: 0 scores 0, and anything
else has no score.

Source: B. Iglewicz and D. C. Hoaglin, How to Detect and Handle Outliers (ASQC Basic References in Quality Control 16,
1993), which calls scores beyond 3.5 outliers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.event_time.zones import Times

Floats = npt.NDArray[np.float64]

_OF_MAD: Final = 0.6745
_OF_MEAN_AD: Final = 1.253314
_LEAST_SHARE: Final = 0.01  # of the median, as a spread
_DECIMALS: Final = 6  # of a score; more would be noise of its arithmetic


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """One row for each value asked about, NaN where there is none.

    ``score``: in standard deviations, above 0 where the value is above ``centre``, to 6 decimals; ``centre``: the
    median of the past values, in the value's unit; ``spread``: what counts as one standard deviation, in the value's
    unit; ``weeks``: how many past values there are.
    """

    score: Floats
    centre: Floats
    spread: Floats
    weeks: Times

    def __len__(self) -> int:
        return len(self.score)


def robust_scores(value: Floats, past: Floats, at_least: int) -> Scores:
    """``value``: one a row; ``past``: (rows, weeks). NaN is no value, nothing is ever taken for 0. A row with fewer
    than ``at_least`` past values has neither score nor centre nor spread.
    """
    found = np.isfinite(past)
    weeks = found.sum(axis=1)
    enough = weeks >= max(1, at_least)
    score, centre, spread = (np.full(len(value), np.nan) for _ in range(3))
    if enough.any():
        values = np.where(found[enough], past[enough], np.nan)
        median = _medians(values, weeks[enough])
        distances = np.abs(values - median[:, None])
        mad = _medians(distances, weeks[enough])
        mean_ad = np.nansum(distances, axis=1) / weeks[enough]
        wide = np.where(mad > 0, mad / _OF_MAD, mean_ad * _OF_MEAN_AD)
        wide = np.maximum(wide, np.abs(median) * _LEAST_SHARE)
        off = value[enough] - median
        with np.errstate(divide="ignore", invalid="ignore"):
            of = np.where(off == 0, 0.0, np.round(off / wide, _DECIMALS))
        score[enough] = np.where(np.isfinite(of), of, np.nan)
        centre[enough], spread[enough] = median, wide
    return Scores(score, centre, spread, weeks)


def _medians(values: Floats, count: Times) -> Floats:
    """Of each row, which has so many values that are not NaN, at least one."""
    ordered = np.sort(values, axis=1)  # NaN last
    row = np.arange(len(values))
    low, high = ordered[row, (count - 1) // 2], ordered[row, count // 2]
    return low + (high - low) / 2
