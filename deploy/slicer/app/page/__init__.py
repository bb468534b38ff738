"""The web page: its panel and banners, its scripts and pictures."""
