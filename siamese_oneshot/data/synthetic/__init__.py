"""Generated alphabets."""
