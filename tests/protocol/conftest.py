"""Hypothesis judges by results here, not by how busy the machine is."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("protocol", deadline=None)
settings.load_profile("protocol")
