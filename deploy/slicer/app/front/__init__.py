"""HTTP and WebSockets: what is answered, and whether a request or a message goes further."""
