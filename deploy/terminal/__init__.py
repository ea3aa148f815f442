"""What a terminal sees: output, progress, interruption, places to write to."""
