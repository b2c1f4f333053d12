"""CLUSTER: a batch is shared out to the workers of a Dask cluster. Only `distributed` of these modules' imports is an extra."""
