"""Sessions: what is known of them and done with them."""
