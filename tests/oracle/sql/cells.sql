-- Facts that are in exactly the same windows, summed up. t is any time among them.
create or replace temp table {table} as
select series, first_k, last_k, min(t) as t, count(*) as n{parts}
from {numbered}
group by series, first_k, last_k
