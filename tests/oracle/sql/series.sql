-- One number for every combination of dimension values that has an event behind any of the KPI's metrics.
create or replace temp table series as
select row_number() over () as series, *
from ({combinations})
