-- Facts with the number of their series and their windows.
create or replace temp table {table} as
select series.series, facts.t, facts.x, facts.rank, moments.first_k, moments.last_k
from {facts} as facts
join moments using (t)
join series on {same_dimensions}
