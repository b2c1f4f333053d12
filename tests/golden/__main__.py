"""Write the digests anew, where a change is meant to change bytes: `make golden`."""

from tests.golden import corpus, digests

digests.write()
corpus.write()
