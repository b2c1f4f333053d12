"""One image into one published dataset: passes, windows, metadata, preview."""
