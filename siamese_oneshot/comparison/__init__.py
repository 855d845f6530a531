"""Networks and baselines, put to every protocol and compared with each other and the literature."""
