"""Pace: how a value that fills with its grain stands against the share of its target that should be there by now.

`shares` says how much of a grain has passed, `profiles` what share of it that is by the KPI's own weeks, `histories`
reads those weeks out of the panes, `forecasts` says where a value will end, and `judging` puts it all beside a value.
"""
