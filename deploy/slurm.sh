#!/bin/bash
# A batch in parts as a SLURM array:
#
#     sbatch --array=1-16 --export=ALL,INPUT_DIR=/data/scans,OUTPUT_DIR=/data/pyramids deploy/slurm.sh
#
# All nodes must see both folders and have omezarr-proc in their PATH. What is out of time, or finds the same part at work, is queued
# again by itself. Any other task that failed is started again alone, once its cause is gone, with its index and the number of parts:
#
#     sbatch --array=7 --export=ALL,INPUT_DIR=/data/scans,OUTPUT_DIR=/data/pyramids,PART=7/16 deploy/slurm.sh
#
#SBATCH --job-name=omezarr
#SBATCH --cpus-per-task=2
#SBATCH --mem=2G
#SBATCH --signal=B:TERM@60
set -u
limits=(--max-workers "${SLURM_CPUS_PER_TASK:-1}")
if [ "${SLURM_MEM_PER_NODE:-0}" -gt 0 ]; then
    limits+=(--memory-limit-mb "$SLURM_MEM_PER_NODE")
fi
# In the background, since a shell that waits for a command hears a signal only when that has ended.
omezarr-proc --input-dir "$INPUT_DIR" --output-dir "$OUTPUT_DIR" --part "${PART:-auto/$SLURM_ARRAY_TASK_COUNT}" "${limits[@]}" &
program=$!
trap 'kill -TERM "$program" 2>/dev/null' TERM
wait "$program"
status=$?
if [ "$status" -gt 128 ]; then # the wait was interrupted by a signal, the program may end in good order
    wait "$program"
    status=$?
fi
if [ "$status" -eq 75 ] || [ "$status" -eq 143 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$status"
