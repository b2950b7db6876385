-- The value at rank ceil(q n): equal values of a window are counted together and passed in order.
with weights as (
    select series, first_k, last_k, x, count(*) as n from {numbered} group by all
),
per_window as (
    select series, unnest(range(first_k, last_k + 1)) as k, x, n from weights
),
merged as (
    select series, k, x, sum(n) as n from per_window group by all
),
ranked as (
    select series, k, x, sum(n) over (partition by series, k order by x) as upto, sum(n) over (partition by series, k) as n
    from merged
),
picked as (
    select series, k, n, min(x) as result
    from ranked
    where upto >= ({numerator} * n + {denominator} - 1) // {denominator}
    group by series, k, n
)
select coalesce(picked.n, 0), picked.result
from live left join picked using (series, k)
order by series, k
