"""The fabric. Reading order: fabric, routes, shared_links, rank_links, max_min."""
