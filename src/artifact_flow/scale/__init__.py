"""Scale: where the fits of a search run: in this process, in several, or on a Dask cluster."""
