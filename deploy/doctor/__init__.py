"""What is missing or odd on this machine. Reading order: `findings`, `examine`, then the checks."""
