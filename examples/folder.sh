#!/bin/sh
# folder.sh SCANS PYRAMIDS: converts all TIFFs below SCANS, keeping full resolution, and checks every dataset.
# Run it again after new files have come, or after it was stopped: what is finished is left alone.
set -eu
omezarr-proc --input-dir "$1" --output-dir "$2" --initial-downsample 1
find "$2" -name '*.ome.zarr' -prune -exec omezarr-proc validate {} +
