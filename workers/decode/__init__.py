"""The decode instance. Reading order: instance, step_cost, step_run, memory, sequences."""
