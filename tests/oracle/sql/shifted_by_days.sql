-- From a day that starts no grain, the same time by the wall clock as has elapsed since the grain's start.
select k, moved_start as window_start,
       instant_of(day_wall_of(moved_start, '{zone}')
                  + day_wall_of(window_end, '{zone}') - day_wall_of(window_start, '{zone}'), '{zone}') as window_end,
       null::bigint as grain_start, null::bigint as grain_end
from (select *, {moved_start} as moved_start from {origin})
