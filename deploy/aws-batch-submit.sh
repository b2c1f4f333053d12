#!/bin/sh
# Submit a batch as an array job: aws-batch-submit.sh QUEUE PARTS INPUT_DIR OUTPUT_DIR   (2 to 10,000 parts)
#
# A child that failed is started again alone as a job of its own, with PART=8/16 in place of auto/16: child 7 is part 8.
set -eu
queue=$1 parts=$2 input=$3 output=$4
exec aws batch submit-job --job-name omezarr --job-definition omezarr --job-queue "$queue" --array-properties "size=$parts" \
    --container-overrides "environment=[{name=INPUT_DIR,value=$input},{name=OUTPUT_DIR,value=$output},{name=PART,value=auto/$parts}]"
