"""Bands through shared memory: order of tasks, processes, loading, writing."""
