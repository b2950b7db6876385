-- The values to expect: a series in every window with an event of it, and once more, without samples, in the next window.
create or replace temp table live as
with stretches as (
    select series, first_k, last_k,
           max(last_k) over (partition by series order by first_k, last_k rows between unbounded preceding and 1 preceding) as reached
    from ({stretches})
),
filled as (
    select series, unnest(range(greatest(first_k, coalesce(reached, 0) + 1), last_k + 1)) as k from stretches
),
falling_silent as (
    select series, k + 1 as k from filled
    except
    select series, k from filled
)
select live.series, live.k, spans.window_start, spans.window_end
from (select series, k from filled union all select series, k from falling_silent) as live
join spans using (k)
