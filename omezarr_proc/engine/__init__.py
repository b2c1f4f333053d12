"""Who makes bands, and where: in this process, or in workers over shared memory."""
