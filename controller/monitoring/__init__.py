"""What the hub tells its administrators: the record of acts, numbers, the log."""
