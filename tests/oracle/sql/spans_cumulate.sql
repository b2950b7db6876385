-- Grain to date: from the grain's start to every step inside it, and once to its end.
select grains.window_start as window_start, ends.window_end as window_end,
       grains.window_start as grain_start, grains.window_end as grain_end
from grains
join ({ends}) as ends on ends.window_end > grains.window_start and ends.window_end < grains.window_end
union
select window_start, window_end, window_start, window_end from grains
