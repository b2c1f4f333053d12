"""Settings: one table, the rules of its values, tokens that nothing shows."""
