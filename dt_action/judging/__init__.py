"""What a finished run is worth: against its base, its gates, its owners, and together with other runs."""
