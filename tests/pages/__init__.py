"""The pages in a real browser. A package, so that all of its tests can share one browser."""
