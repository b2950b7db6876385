"""Where a value that fills with its grain will end, and how sure that is.

Half of a grain's share that has passed, half of its value: the forecast is the value through the share. What is still
to come differs from the profile as past days did, and what has come did too. With independent days of the spread s
(standard deviation of a day's value around the profile), n days in the grain and the share F of it passed, the error is

    var = s^2 n (1 - F) + ((1 - F) / F)^2 s^2 n F = s^2 n (1 - F) / F

and four of five grains end within 1.2816 standard deviations of their forecast.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from engine.pace.shares import Floats

SURE: Final = 0.8
_DEVIATIONS: Final = 1.2815515655446004  # of a normal distribution, within which SURE of it lies


class Forecast(NamedTuple):
    """Values at the grain's end; nan where nothing can be said."""

    value: Floats
    low: Floats
    high: Floats


def forecast(
    value: Floats, share: Floats, days: Floats, spread: Floats, rising: np.typing.NDArray[np.bool_]
) -> Forecast:
    """From the values so far and the share of the grain behind them. ``days``: how many the grain has; ``spread``: of
    one day's value, nan where it is not known; ``rising``: no hour ever took anything away, so neither will the rest.
    """
    some = share > 0
    passed = np.where(some, share, 1.0)
    ends = np.where(some, value / passed, np.nan)
    error = _DEVIATIONS * spread * np.sqrt(days * np.maximum(1 - passed, 0) / passed)
    low = ends - error
    return Forecast(ends, np.where(rising & (low < value), np.minimum(value, ends), low), ends + error)
