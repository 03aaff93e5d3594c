"""A run as documents: formats, renderers, badges, and the redaction that all of them pass."""
