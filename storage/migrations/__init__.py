"""The schema's history; a migration repeats what it needs and imports no live code."""
