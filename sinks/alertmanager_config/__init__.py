"""Alertmanager's configuration for a catalog: where its alerts go, and which of them say nothing new."""
