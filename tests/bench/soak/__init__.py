"""The demo's whole way for an hour while workers, Kafka and Valkey are killed, stopped and started again.

A retailer's year goes through real Kafka with late, repeated and unreadable events in it. At the end every closed
window of four KPIs must equal what DuckDB says of the lines, Redis must show the newest values, and each event that
was refused must be kept with its reason.
"""
