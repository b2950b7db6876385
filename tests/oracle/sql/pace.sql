-- What share of a grain is behind each of its hours' ends, by the eight weeks before it.
-- Tables: events (brand, sales_value, hour_us), hours (hour_us, day, hour, kind) of local time, grains (start_us, cut_day): history are
-- the 56 days before cut_day; ends (start_us, end_us): the hours of grains.
with history as (
    select g.start_us, h.*
    from grains g join hours h on h.day >= g.cut_day - 56 and h.day < g.cut_day
),
lengths as (
    select start_us, kind, hour, count(*) as hours from history group by all
),
taken as (
    select h.start_us, e.brand, h.kind, h.hour, sum(e.sales_value) as sales
    from history h join events e using (hour_us)
    group by all
),
brands as (select distinct start_us, brand from taken),
rates as (
    select b.start_us, b.brand, l.kind, l.hour, greatest(coalesce(t.sales, 0), 0)::double / l.hours as rate
    from brands b
    join lengths l using (start_us)
    left join taken t on t.start_us = b.start_us and t.brand is not distinct from b.brand and t.kind = l.kind and t.hour = l.hour
),
-- A holiday where history holds none is a Sunday.
known as (
    select * from rates
    union all
    select start_us, brand, 7, hour, rate from rates r
    where kind = 6 and not exists (from lengths l where l.start_us = r.start_us and l.kind = 7)
),
filling as (
    select e.start_us, e.end_us, k.brand, sum(k.rate) over (partition by e.start_us, k.brand order by e.end_us) as behind,
        sum(k.rate) over (partition by e.start_us, k.brand) as whole
    from ends e
    join hours h on h.hour_us = e.end_us - 3600000000
    join known k on k.start_us = e.start_us and k.kind = h.kind and k.hour = h.hour
)
select brand, end_us, behind / whole as share from filling
