-- Windows side by side, multiples of an exact size since the epoch.
select step * {size} as window_start, (step + 1) * {size} as window_end,
       null::bigint as grain_start, null::bigint as grain_end
from range({lowest} // {size} - 1, {highest} // {size} + 2) as steps(step)
