"""One TIFF file: its directories and tags."""
