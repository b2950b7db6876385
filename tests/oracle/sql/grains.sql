-- One row per calendar grain around [lowest, highest]: local midnights, {stride} apart, counted from {first_day}.
create or replace temp table grains as
with midnights as (
    select day, lead(day) over (order by day) as next_day
    from generate_series(timestamp '{first_day}', make_timestamp({highest}) + interval 800 day, interval '{stride}') as days(day)
)
select instant_of(epoch_us(day), '{zone}') as window_start, instant_of(epoch_us(next_day), '{zone}') as window_end
from midnights
where next_day > make_timestamp({lowest}) - interval 800 day and next_day is not null
