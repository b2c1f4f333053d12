"""Whether a dataset is what the specification and the viewers want."""
