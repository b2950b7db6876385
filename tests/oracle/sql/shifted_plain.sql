-- Windows one offset earlier, in the same order.
select k, {moved_start} as window_start, {moved_end} as window_end, null::bigint as grain_start, null::bigint as grain_end
from {origin}
