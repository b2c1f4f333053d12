"""A tree is published once: lock, record of what is finished, staging, the final name."""
