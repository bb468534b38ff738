"""Sessions: their records, and everything that is done with them."""
