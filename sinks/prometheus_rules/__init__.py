"""What Prometheus is to record and to watch of a catalog, with the tests that promtool runs on it."""
