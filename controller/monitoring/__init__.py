"""What the hub tells its administrators: the audit log, metrics, the log."""
