"""What decides the bits of a run: the settings, their aliases, and which of them are recipe or execution."""
