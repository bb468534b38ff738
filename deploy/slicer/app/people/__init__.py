"""People: who is connected, roles, activity, how quick it feels to them, notices to them."""
