-- Local wall time <-> instant. Both are microseconds since 1970-01-01T00:00, a wall time read as if it were UTC.
-- DuckDB's own conversion reads a repeated wall time as the second one and one in a gap as later than it; here a repeated
-- one is the first, and one in a gap is the first instant after the gap.
create or replace macro wall_of(instant, zone) as
    epoch_us(timezone(zone, make_timestamptz(instant)));

create or replace macro utc_offset(instant, zone) as
    wall_of(instant, zone) - instant;

-- The first minute mark between two instants at which the zone has got its later offset.
create or replace macro transition_between(low, high, zone, later_offset) as
    list_min(list_filter(
        range(low - low % 60000000, high + 120000000, 60000000),
        lambda probe: utc_offset(probe, zone) = later_offset));

-- A list of one binds the wall time to a name, so that it is worked out once however deep macros are nested.
create or replace macro instant_of(given, zone) as
    list_transform([given], lambda wall: case
        when wall_of(wall - utc_offset(wall - 86400000000, zone), zone) = wall
            then wall - utc_offset(wall - 86400000000, zone)
        when wall_of(wall - utc_offset(wall + 86400000000, zone), zone) = wall
            then wall - utc_offset(wall + 86400000000, zone)
        else transition_between(
            wall - utc_offset(wall + 86400000000, zone),
            wall - utc_offset(wall - 86400000000, zone),
            zone,
            utc_offset(wall + 86400000000, zone))
    end)[1];

create or replace macro days_later(instant, days, zone) as
    instant_of(wall_of(instant, zone) + days * 86400000000, zone);

-- Timestamp minus interval keeps the day of the month, or takes the month's last.
create or replace macro months_earlier(instant, months, zone) as
    instant_of(epoch_us(timezone(zone, make_timestamptz(instant)) - to_months(months)), zone);

-- Starts of local days: their wall time is midnight, also where clocks skip midnight and the day starts later.
create or replace macro day_wall_of(given, zone) as
    list_transform([given], lambda instant:
        list_transform([wall_of(instant, zone) // 86400000000 * 86400000000], lambda midnight:
            case when instant_of(midnight, zone) = instant then midnight else wall_of(instant, zone) end)[1])[1];

create or replace macro day_later(instant, days, zone) as
    instant_of(day_wall_of(instant, zone) + days * 86400000000, zone);

create or replace macro day_months_earlier(instant, months, zone) as
    instant_of(epoch_us(make_timestamp(day_wall_of(instant, zone)) - to_months(months)), zone);
