"""Many cases: the runner that goes through them on the processes of this machine or on a Dask cluster."""
