"""Current values, rank, history and updates in Redis or Valkey (core commands of Redis 6.2, Lua with cmsgpack).

`sink.RedisSink` writes, `reading` reads. Key names are in `sinks.names`.
"""
