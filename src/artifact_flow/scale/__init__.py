"""Scale: work in other processes of this machine or on a Dask cluster. Where it runs never changes a result."""
