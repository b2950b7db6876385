-- Rolling windows: one for each instant at which one ends, reaching back from it.
select {start_of_window} as window_start, window_end, null::bigint as grain_start, null::bigint as grain_end
from ({ends})
