"""Sessions as Pods of a cluster."""
