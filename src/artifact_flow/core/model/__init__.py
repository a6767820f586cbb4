"""Model: builds, searches and fits an estimator, opens its file after checks, and scores its predictions."""
