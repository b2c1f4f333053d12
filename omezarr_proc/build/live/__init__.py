"""Datasets that are made while somebody looks at them: nothing of them is stored, each chunk is made when it is asked for."""
