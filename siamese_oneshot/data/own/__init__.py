"""A person's own pictures: read, brought to Omniglot's convention, listed from folders."""
