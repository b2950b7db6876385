-- Each expected window as a frame over the cells before its end. A window's row stands at its end and looks back to its start.
with points as (
    select series, t as at_time, 0 as reach, null as k, n{columns} from {cells}
    union all
    select live.series, span.window_end, span.window_end - span.window_start, live.k, null{nulls}
    from live join {spans} as span using (k)
),
framed as (
    select series, k, coalesce(sum(n) over frame, 0) as n{framed}
    from points
    window frame as (partition by series order by at_time range between reach preceding and 1 preceding)
)
select {result}
from framed {join}
where framed.k is not null
order by framed.series, framed.k
