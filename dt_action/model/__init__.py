"""The nouns of a run: frozen values from the standard library alone, no input or output."""
