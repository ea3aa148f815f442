"""Commands about hardware and its model, without a run."""
