"""Grafana dashboards written from a catalog: an overview, one for each KPI, one for the engine.

They are made of the models of `grafana_foundation_sdk`, read Prometheus alone, and follow from the catalog and nothing
else: no clock, no chance, so that two runs give the same bytes.
"""
