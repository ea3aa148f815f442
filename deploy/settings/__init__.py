"""Settings of a run. Reading order: setting, models, settings, load, options."""
