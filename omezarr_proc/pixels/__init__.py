"""Numbers only: averages, histograms, the C kernels."""
