"""What a change can reach: the facts of each file, the files of the repository, and what its settings name."""
