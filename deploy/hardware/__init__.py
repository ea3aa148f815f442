"""Hardware and models from files, and how they and the model's predictions are shown."""
