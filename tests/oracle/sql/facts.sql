-- The events behind one metric: those that pass the filters and have a value. rank orders them by time, where asked for.
create or replace temp table {table} as
select {dimensions}, _time as t, {value} as x, {rank} as rank
from {source}
where ({filters}) and ({value}) is not null
