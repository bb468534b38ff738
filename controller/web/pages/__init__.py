"""The pages, which work without script."""
