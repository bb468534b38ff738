"""Tools that are drawn on the views or shown in the panel; none imports another."""
