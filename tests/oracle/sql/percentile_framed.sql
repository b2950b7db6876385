-- The same for long windows with short slides, where a row for every fact and window would be too many: a frame over the facts.
-- quantile_disc is the value at rank ceil(q n).
with points as (
    select series, t as at_time, 0 as reach, null as k, x from {numbered}
    union all
    select live.series, span.window_end, span.window_end - span.window_start, live.k, null
    from live join {spans} as span using (k)
),
framed as (
    select series, k, count(x) over frame as n, quantile_disc(x, {share}) over frame as result
    from points
    window frame as (partition by series order by at_time range between reach preceding and 1 preceding)
)
select n, result
from framed
where k is not null
order by series, k
