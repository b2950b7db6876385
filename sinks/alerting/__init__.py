"""Alerts to people and programs: what is said, and to whom it is sent."""
