"""People: who is connected, their roles, their activity, and notices to them."""
