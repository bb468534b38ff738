"""The Kubernetes API: requests, and lists that are watched."""
