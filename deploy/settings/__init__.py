"""Settings of a run: flags, YAML files and what they mean."""
