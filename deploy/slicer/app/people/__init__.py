"""Who is connected, with which right, what they last did, and what they are told."""
