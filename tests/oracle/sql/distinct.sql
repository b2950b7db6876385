-- Distinct values: an occurrence counts in the windows that hold it and no earlier occurrence of the same value.
with occurrences as (
    select distinct series, x, first_k, last_k from {numbered}
),
fresh as (
    select series, greatest(first_k, coalesce(lag(last_k) over (partition by series, x order by first_k, last_k), 0) + 1) as from_k, last_k
    from occurrences
),
edges as (
    select series, from_k as k, count(*) as step from fresh where from_k <= last_k group by all
    union all
    select series, last_k + 1, -count(*) from fresh where from_k <= last_k group by all
),
points as (
    select series, k, step, false as wanted, 0 as n from edges
    union all
    select series, k, 0, true, 0 from live
),
distinct_values as (
    select series, k, sum(step) over (partition by series order by k range between unbounded preceding and current row) as result, wanted
    from points
)
select counted.n, distinct_values.result
from distinct_values
join counted using (series, k)
where wanted
order by series, k
