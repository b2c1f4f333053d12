"""TIFF and OME-TIFF: `file` (bytes, directories), `describe` (what there is and where; the main process), `read` (pixels; workers)."""
