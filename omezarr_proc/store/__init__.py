"""A dataset as objects, in a folder, an object store or memory: chunks, shards and their codec, documents, reading it again."""
