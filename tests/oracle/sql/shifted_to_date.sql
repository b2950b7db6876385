-- A finished grain is compared with the whole earlier one, a part with the part that had elapsed by the wall clock, at most all.
with moved as (
    select *, {moved_start} as moved_start from {origin}
),
bounded as (
    select *, {moved_grain_end} as moved_grain_end,
           instant_of(day_wall_of(moved_start, '{zone}')
                      + day_wall_of(window_end, '{zone}') - day_wall_of(window_start, '{zone}'), '{zone}') as moved_end
    from moved
)
select k, moved_start as window_start,
       case when window_end = grain_end then moved_grain_end
            when grain_start is null then moved_end
            else least(moved_grain_end, moved_end) end as window_end,
       case when grain_start is not null then moved_start end as grain_start,
       case when grain_start is not null then moved_grain_end end as grain_end
from bounded
