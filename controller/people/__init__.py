"""People: the directory, log-ins and their tokens, the throttle of failed log-ins."""
