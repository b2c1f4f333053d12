"""OME-TIFF to multi-resolution OME-Zarr pyramids, streamed in bounded memory."""

__version__ = "0.1.0"
