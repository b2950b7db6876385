"""The ledger of each day and the balance sheet at its end: assets are what is owed and owned, to the cent.

Booked on the day they belong to and told later: a day's entries and its balance sheet the next morning, what belongs to
a whole month up to four days after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from streamgauge.simulate.columns import SENT, Names, euros, rfc_3339
from streamgauge.simulate.days import DAY, HOUR, MINUTE, SECOND, Day, growth
from streamgauge.simulate.marketing import Spend
from streamgauge.simulate.selling import Orders, Refunds

_STREAM: Final = 8

# Euros for each order of an average day, where nothing else is said.
_OPENING_EQUITY, _LOAN = 5_300.0, 2_000.0
_EQUIPMENT: Final = 3_500.0
_PAYROLL, _RENT, _OTHER = 245.0, 46.0, 52.0  # a month
_DEPRECIATION: Final = 34.0  # a month; as much is bought again
_INTEREST: Final = 0.045 / 12  # of the loan, a month
_TAX: Final = 0.258
_YEARLY: Final = 0.09

_SALES_AN_ORDER, _COST_AN_ORDER = 58.0, 33.0  # a day, before the first one
_SMOOTHING: Final = 1 / 14
_INVENTORY_DAYS, _RECEIVABLE_DAYS, _PAYABLE_DAYS = 48.0, 3.0, 30.0


@dataclass(slots=True)
class Books:
    """All sums in cents."""

    seed: int
    names: Names
    orders_a_day: float
    _equity: int = field(init=False)
    _month: int = field(init=False, default=0)  # income of the month so far
    _sales_a_day: float = field(init=False)
    _cost_a_day: float = field(init=False)
    _refunds: list[Refunds] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._equity = self._scaled(_OPENING_EQUITY)
        self._sales_a_day = self.orders_a_day * _SALES_AN_ORDER * 100
        self._cost_a_day = self.orders_a_day * _COST_AN_ORDER * 100

    def close(self, day: Day, orders: Orders, refunds: Refunds, spend: Spend) -> tuple[pl.DataFrame, pl.DataFrame]:
        """(ledger, balances) of a day, given what was ordered and spent on it, and what will come back of it."""
        random = day.random(self.seed, _STREAM)
        self._refunds.append(refunds)
        refunded, restocked = self._refunded(day)
        sales, cost = int(orders.amount.sum()) - refunded, int(orders.cost.sum()) - restocked
        entries = {
            "revenue": sales,
            "cost_of_goods": -cost,
            "shipping": -int(orders.shipping.sum()),
            "marketing": -int(spend.cents.sum()),
        }
        told = [day.end_us + 5 * HOUR + int(random.random() * HOUR)] * len(entries)
        self._sales_a_day += (sales - self._sales_a_day) * _SMOOTHING
        self._cost_a_day += (cost - self._cost_a_day) * _SMOOTHING
        if day.ends_a_month:
            monthly = self._monthly(day, sum(entries.values()))
            closed = day.end_us + 2 * DAY + (10 + np.arange(len(monthly)) * 5) * HOUR
            entries |= monthly
            told += closed.tolist()
        income = sum(entries.values())
        self._equity += income
        self._month = 0 if day.ends_a_month else self._month + income
        booked = np.full(len(entries), day.end_us - MINUTE, dtype=np.int64)
        ledger = pl.DataFrame(
            {
                "entry_id": self.names.many("l", day, len(entries)),
                "booked_at": rfc_3339(booked),
                "account": pl.Series(list(entries), dtype=pl.String),
                "amount": euros(np.array(list(entries.values()), dtype=np.int64)),
                SENT: np.array(told, dtype=np.int64),
            }
        )
        return ledger, self._balance_sheet(day)

    def _refunded(self, day: Day) -> tuple[int, int]:
        """Refunds booked on this day and what was put back into stock, of orders of whatever day."""
        amount = restocked = 0
        for refunds in self._refunds:
            today = (refunds.refunded_us >= day.start_us) & (refunds.refunded_us < day.end_us)
            amount += int(refunds.amount[today].sum())
            restocked += int(refunds.restocked[today].sum())
        self._refunds = [one for one in self._refunds if (one.refunded_us >= day.end_us).any()]
        return amount, restocked

    def _monthly(self, day: Day, today: int) -> dict[str, int]:
        grown = growth(day, _YEARLY)
        entries = {
            "payroll": -self._scaled(_PAYROLL * grown),
            "rent": -self._scaled(_RENT),
            "other_expenses": -self._scaled(_OTHER * grown),
            "depreciation": -self._scaled(_DEPRECIATION),
            "interest": -self._scaled(_LOAN * _INTEREST),
        }
        before_tax = self._month + today + sum(entries.values())
        return entries | {"tax": -max(0, round(before_tax * _TAX))}

    def _balance_sheet(self, day: Day) -> pl.DataFrame:
        inventory = round(self._cost_a_day * _INVENTORY_DAYS)
        receivables = round(self._sales_a_day * _RECEIVABLE_DAYS)
        payables = round(self._cost_a_day * _PAYABLE_DAYS)
        equipment, loan = self._scaled(_EQUIPMENT), self._scaled(_LOAN)
        cash = self._equity + payables + loan - inventory - receivables - equipment
        sheet = {
            "cash": cash,
            "receivables": receivables,
            "inventory": inventory,
            "equipment": equipment,
            "payables": payables,
            "loan": loan,
            "equity": self._equity,
        }
        return pl.DataFrame(
            {
                "snapshot_id": self.names.many("b", day, 1),
                "as_of": rfc_3339(np.array([day.end_us - SECOND])),
                **{name: euros(np.array([cents])) for name, cents in sheet.items()},
                SENT: np.array([day.end_us + 6 * HOUR + 30 * MINUTE]),
            }
        )

    def _scaled(self, euros_an_order: float) -> int:
        return round(euros_an_order * self.orders_a_day * 100)
