"""The page that shows datasets in a browser, and the server behind it."""
