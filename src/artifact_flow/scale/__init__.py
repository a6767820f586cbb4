"""Scale: the fits of a search run in this process, in several local processes, or on a Dask cluster."""
