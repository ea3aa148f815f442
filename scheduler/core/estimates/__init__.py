"""What the control plane learns from reports: worker state, prefill and decode times, the index of prefixes."""
