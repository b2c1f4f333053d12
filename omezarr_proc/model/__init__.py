"""The vocabulary: values that everything speaks in. Imports nothing of the package."""
