"""A dataset on disk: chunks and their codec, array metadata, lock, record, publishing."""
