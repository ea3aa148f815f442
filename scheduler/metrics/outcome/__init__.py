"""What a run came to, worked out when it has ended."""
