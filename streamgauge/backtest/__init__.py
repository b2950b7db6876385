"""What the alerts of a catalog would have done on events of the past, before they go live."""
