"""TIFF and OME-TIFF: `file` (bytes, directories), `describe` (what there is and where, in the main process), `read` (pixels, in workers)."""
