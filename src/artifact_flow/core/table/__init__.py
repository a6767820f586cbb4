"""Table: a source becomes one typed table with a split."""
