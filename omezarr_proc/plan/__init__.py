"""Pure decisions: passes and bands, how the source is read, memory and workers, shares for several machines."""
