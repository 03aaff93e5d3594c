"""What a run needs on disk: source trees, environments, caches."""
