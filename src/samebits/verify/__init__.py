"""Holding a candidate against a golden run: what differs, where first, and by how much. Nothing here prints."""
