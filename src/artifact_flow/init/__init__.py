"""Init: a table of one's own becomes the main flow."""
