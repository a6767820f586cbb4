"""Scale: the same work in other processes, on a Dask cluster, and on tables in object stores, with one result."""
