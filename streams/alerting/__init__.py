"""Delivery: one worker of all follows `NAME.alerts` and tells receivers, each by itself."""
