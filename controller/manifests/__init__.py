"""What is sent to an engine for a session, as plain values of the engine's own API. Pure."""
