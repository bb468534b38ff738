"""HTTP and WebSockets: answers, and the decision on each request and message."""
