"""Stand-ins and rigs that several test files, and the benchmarks, share."""
