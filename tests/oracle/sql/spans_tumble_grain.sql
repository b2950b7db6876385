-- One window per calendar grain.
select window_start, window_end, null::bigint as grain_start, null::bigint as grain_end from grains
