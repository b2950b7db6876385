-- Every window that can hold an event at or after {lowest} and has ended by {highest}, numbered in the order of their ends.
create or replace temp table {table} as
select row_number() over (order by window_end) as k, window_start, window_end, grain_start, grain_end
from ({windows})
where window_end > {lowest} and window_end <= {highest}
