-- One window per calendar grain.
select window_start, window_end, window_start as grain_start, window_end as grain_end from grains
