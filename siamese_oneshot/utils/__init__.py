"""Small parts that everything may use: files, errors, checks, hardware."""
