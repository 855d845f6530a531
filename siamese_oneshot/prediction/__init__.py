"""The predict command: from a folder of supports and some queries to a table and files."""
