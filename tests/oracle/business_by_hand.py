"""The KPIs of business.yaml as a controller would write them in SQL, without a look at the catalog.

Each query gives, for every window of the table ``windows`` (k, start_us, end_us), rows (k, series, above, below): the
value is above over below, or above alone where below is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import duckdb

from streamgauge.simulate.files import event_file
from tests.oracle.finishing import exact, rounded

_TABLES: Mapping[str, tuple[str, str]] = {
    "orders": ("order_id", "ordered_at, region, amount, cost, shipping_cost"),
    "refunds": ("refund_id", "refunded_at, region, amount, restocked_cost"),
    "spend": ("spend_id", "spent_at, amount"),
    "signups": ("event_id", "signed_up_at, customer_id"),
    "tickets": ("event_id", "at, kind, priority, minutes_open"),
    "probes": ("probe_id", "probed_at, service, ok"),
    "ledger": ("entry_id", "booked_at, amount"),
    "balances": ("snapshot_id", "as_of, cash, receivables, inventory, equipment"),
}
_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("amount", "cost", "shipping_cost", "restocked_cost"), "decimal(12, 2)"),
    **dict.fromkeys(("cash", "receivables", "inventory", "equipment"), "decimal(14, 2)"),
    **dict.fromkeys(("customer_id", "minutes_open"), "bigint"),
    "ok": "boolean",
}

_BOOKED = """
    select ordered_at as at, region, amount, cost, shipping_cost as shipping, 1 as placed from orders
    union all
    select refunded_at, region, -amount, -restocked_cost, 0, 0 from refunds
"""
_WITHIN = "from windows join ({events}) as events on events.at >= start_us and events.at < end_us"


def _query(select: str, events: str, group: str = "k") -> str:
    return f"select k, {select} {_WITHIN.format(events=events)} group by {group}"


BY_HAND: Mapping[str, str] = {
    "sales_by_region_7d": _query("region, sum(amount), null", _BOOKED, "k, region"),
    "sales_30d": _query("null, sum(amount), null", _BOOKED),
    "new_customers_month": _query(
        "null, count(distinct customer_id), null", "select signed_up_at as at, customer_id from signups"
    ),
    "cost_per_acquisition_30d": _query(
        "null, sum(amount), count(distinct customer_id)",
        "select spent_at as at, amount, null as customer_id from spend "
        "union all select signed_up_at, 0, customer_id from signups",
    ),
    "shipping_cost_monthly_12m": _query("null, sum(shipping), 12", _BOOKED),
    "shipping_cost_per_order_month": _query("null, sum(shipping), sum(placed)", _BOOKED),
    "gross_margin_month": _query("null, sum(amount) - sum(cost), sum(amount)", _BOOKED),
    "return_on_assets_12m": f"""
        select k, null, income.amount * sheets.days, sheets.assets
        from ({_query("sum(amount) as amount", "select booked_at as at, amount from ledger")}) as income
        join ({
        _query(
            "sum(assets) as assets, count(*) as days",
            "select as_of as at, cash + receivables + inventory + equipment as assets from balances",
        )
    }) as sheets using (k)
    """,
    "resolution_time_mean_30d": _query(
        "priority, sum(minutes_open), 60 * count(*)",
        "select * from tickets where kind = 'resolved'",
        "k, priority",
    ),
    "resolution_time_p90_30d": _query(
        "priority, quantile_disc(minutes_open, 0.9), 60",
        "select * from tickets where kind = 'resolved'",
        "k, priority",
    ),
    "uptime_30d": _query("service, count_if(ok), count(*)", "select probed_at as at, * from probes", "k, service"),
}


class ByHand:
    """The files of ``folder`` as tables: money exact, times in microseconds since the epoch, each event once."""

    def __init__(self, folder: Path) -> None:
        self._connection = duckdb.connect(config={"threads": 2})
        for table, (identity, columns) in _TABLES.items():
            self._connection.execute(
                f"create table {table} as select distinct on ({identity}) "
                + ", ".join(_column(name.strip()) for name in columns.split(","))
                + f" from read_json('{event_file(folder, table)}', format = 'newline_delimited')"
            )

    def values(self, kpi: str, windows: Sequence[tuple[int, int]]) -> dict[tuple[str | None, int, int], Decimal]:
        """(series, start, end) -> value, of the windows that hold anything; bounds in microseconds."""
        self._connection.execute("create or replace table windows (k integer, start_us bigint, end_us bigint)")
        self._connection.executemany(
            "insert into windows values (?, ?, ?)", [(k, start, end) for k, (start, end) in enumerate(windows)]
        )
        rows = self._connection.execute(BY_HAND[kpi]).fetchall()
        return {(series, *windows[k]): _value(above, below) for k, series, above, below in rows}


def _column(name: str) -> str:
    if name in _TYPES:
        return f'cast("{name}" as {_TYPES[name]}) as "{name}"'
    if name == "at" or name.endswith(("_at", "_of")):
        return f'epoch_us(cast("{name}" as timestamptz)) as "{name}"'
    return f'"{name}"'


def _value(above: int | Decimal, below: int | Decimal | None) -> Decimal:
    return exact(Fraction(above)) if below is None else rounded(Fraction(above) / Fraction(below))
