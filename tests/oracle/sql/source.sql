-- A source's events with the declared types; _time is the event time in microseconds since the epoch.
create or replace temp table {table} as
select {fields}, {event_time} as _time, {partition} as _partition, {position} as _offset
from {events}
