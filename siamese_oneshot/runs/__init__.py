"""Files of a run and of a sweep: results, jobs and networks."""
