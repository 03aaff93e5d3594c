"""Where tests execute: implementations of the port Fleet."""
