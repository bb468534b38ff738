"""Tools of a session that are drawn on its views or shown in its panel; none knows another."""
