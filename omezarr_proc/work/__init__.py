"""What one task does: load a band, encode it, file its objects. Knows no process and no pool."""
