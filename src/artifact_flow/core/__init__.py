"""Core: what every stage stands on, in three floors: base, the table on it, the model on that."""
