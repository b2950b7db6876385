"""From values to alerts: verdicts on rows, a state machine in event time, and the objects that people are told."""
