"""The command line: one file per command; each parses, calls a door, prints, and sets the exit code."""
