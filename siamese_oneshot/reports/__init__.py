"""Many runs as one table: what a sweep tried, what came of it, and what mattered."""
