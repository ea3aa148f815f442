"""How a live system stands: totals over all its sessions."""
