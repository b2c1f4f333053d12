#!/bin/sh
# One image, two ways to run: Lambda sets AWS_LAMBDA_RUNTIME_API; everything else is the command line.
# `exec` makes python process 1, so that SIGTERM reaches it.
if [ -n "${AWS_LAMBDA_RUNTIME_API:-}" ]; then
    exec python -m awslambdaric omezarr_proc.handler.handler
fi
exec python -m omezarr_proc "$@"
