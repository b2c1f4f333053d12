"""Pure decisions: the geometry of a pyramid, what the container has, and the plan that follows."""
