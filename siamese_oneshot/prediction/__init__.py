"""From a folder of supports and some queries to a table, files and a contact sheet."""
