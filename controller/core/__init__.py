"""The nouns: what a session, a person and a record is, what can go wrong, what labels say."""
