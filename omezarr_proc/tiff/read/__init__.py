"""Pixels of a plane: segments, rows, streams and spooled planes."""
