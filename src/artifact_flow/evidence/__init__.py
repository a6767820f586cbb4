"""Evidence: what a stranger needs to judge a model, in three standard forms, from the flow's checked files alone."""
