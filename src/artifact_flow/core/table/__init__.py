"""Table: reads a source into one typed table with a split."""
