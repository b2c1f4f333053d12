"""Samples and plots for `memprofile`."""
