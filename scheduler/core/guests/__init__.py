"""Who listens to the core from beside it, each only if asked for: admission, power budgets, parking, weights."""
