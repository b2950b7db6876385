"""What alerts look back at beside a KPI's own windows: the same time of earlier weeks, and how fast an error budget
burns.
"""
