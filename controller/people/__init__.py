"""Who is there: the directory, log-ins and what proves them, who tries too often."""
