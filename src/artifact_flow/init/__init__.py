"""Init: a user's own table becomes the main flow."""
