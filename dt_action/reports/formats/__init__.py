"""File formats that other programs read or write: a reader beside its writer, each a pure function of values."""
