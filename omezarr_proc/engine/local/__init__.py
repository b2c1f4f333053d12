"""Workers on this machine: forked from a nursery, working bands in shared memory."""
