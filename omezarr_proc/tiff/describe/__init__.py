"""What a TIFF says: images, planes, channels, sizes, from OME-XML, ImageJ, vendors and plain tags."""
