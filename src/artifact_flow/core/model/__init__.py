"""Model: an estimator is built, searched and fitted; its file is opened after checks; its predictions are scored."""
