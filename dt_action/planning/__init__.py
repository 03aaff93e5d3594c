"""Which files run, in which order, in which job."""
