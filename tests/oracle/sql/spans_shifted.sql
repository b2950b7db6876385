-- The same windows, {offset} earlier; a grain to date keeps the local time elapsed since its grain's start.
create or replace temp table {table} as
with moved as (
    select k, window_start, window_end, grain_start,
           {start_moved} as moved_start, {end_moved} as moved_end,
           {grain_start_moved} as moved_grain_start, {grain_end_moved} as moved_grain_end
    from {origin}
)
select k,
       coalesce(moved_grain_start, moved_start) as window_start,
       case when grain_start is null then moved_end
            else least(moved_grain_end, instant_of(wall_of(moved_grain_start, '{zone}')
                       + wall_of(window_end, '{zone}') - wall_of(grain_start, '{zone}'), '{zone}'))
       end as window_end,
       moved_grain_start as grain_start, moved_grain_end as grain_end
from moved
