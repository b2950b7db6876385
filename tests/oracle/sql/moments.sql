-- The first and last window that hold an event of each time; in between every window does, since neither starts nor ends of
-- windows ever go back.
create or replace temp table {table} as
select times.t, first_window.k as first_k, last_window.k as last_k
from {times} as times
asof join (select window_end, min(k) as k from {spans} group by window_end) as first_window on times.t < first_window.window_end
asof join (select window_start, max(k) as k from {spans} group by window_start) as last_window on times.t >= last_window.window_start
where first_window.k <= last_window.k
