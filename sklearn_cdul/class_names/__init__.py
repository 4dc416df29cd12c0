"""Class names in, prompts out, and what an encoder knows of a name."""
