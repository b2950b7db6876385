-- Windows of n local days, counted from the first week_start day of 1970.
select instant_of({anchor} + step * {days} * 86400000000, '{zone}') as window_start,
       instant_of({anchor} + (step + 1) * {days} * 86400000000, '{zone}') as window_end,
       null::bigint as grain_start, null::bigint as grain_end
from range(({lowest} - {anchor}) // ({days} * 86400000000) - 2, ({highest} - {anchor}) // ({days} * 86400000000) + 3) as steps(step)
