"""A person's own images: read, brought to Omniglot's convention, listed from folders."""
