"""TIFF and OME-TIFF: `images` in the main process (what there is and where), `reader` in the workers (pixels)."""
