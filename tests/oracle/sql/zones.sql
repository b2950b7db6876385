-- Local wall time <-> instant. Both are microseconds since 1970-01-01T00:00, a wall time read as if it were UTC.
-- DuckDB's own conversion reads a repeated wall time as the second one and one in a gap as later than it; here a repeated
-- one is the first, and one in a gap is the first instant after the gap.
create or replace macro wall_of(instant, zone) as
    epoch_us(timezone(zone, make_timestamptz(instant)));

create or replace macro utc_offset(instant, zone) as
    wall_of(instant, zone) - instant;

-- The last minute mark between two instants at which the zone still has not got its later offset, plus one minute.
create or replace macro transition_between(low, high, zone, later_offset) as (
    select min(probe.instant)
    from range(low - low % 60000000, case when high > low then high + 120000000 else 0 end, 60000000) as probe(instant)
    where utc_offset(probe.instant, zone) = later_offset
);

create or replace macro instant_of(wall, zone) as
    case
        when wall_of(wall - utc_offset(wall - 86400000000, zone), zone) = wall
            then wall - utc_offset(wall - 86400000000, zone)
        when wall_of(wall - utc_offset(wall + 86400000000, zone), zone) = wall
            then wall - utc_offset(wall + 86400000000, zone)
        else transition_between(
            wall - utc_offset(wall + 86400000000, zone),
            wall - utc_offset(wall - 86400000000, zone),
            zone,
            utc_offset(wall + 86400000000, zone))
    end;

create or replace macro days_later(instant, days, zone) as
    instant_of(wall_of(instant, zone) + days * 86400000000, zone);

-- Timestamp minus interval keeps the day of the month, or takes the month's last.
create or replace macro months_earlier(instant, months, zone) as
    instant_of(epoch_us(timezone(zone, make_timestamptz(instant)) - to_months(months)), zone);
