"""Published performance, and how far the model is from it."""
