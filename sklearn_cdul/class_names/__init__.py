"""Class names in; prompts out, and warnings about names that the encoder does not know."""
