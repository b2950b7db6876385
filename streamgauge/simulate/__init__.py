"""Events that nobody recorded: of a business that does not exist, drawn from a seed, believable enough to try a KPI on.

The same settings give the same events, to the byte. What happens (a campaign, an outage) is told in days before the end
of history, so that it is as recent whenever one looks; weekdays, hours and seasons are those of the calendar.
"""
