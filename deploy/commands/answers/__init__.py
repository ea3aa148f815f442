"""Commands that make many runs to answer one question."""
