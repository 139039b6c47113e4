"""What a sweep is made of: its plan, the processes that run it, what it tells, and the records that are kept."""
