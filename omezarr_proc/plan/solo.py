"""The limits within which each of several workers plans that make whole small images side by side. Pure."""

from dataclasses import replace

from omezarr_proc.host.limits import Limits
from omezarr_proc.plan.memory import MAIN_BYTES, MB, NURSERY_BYTES, RESERVE_BYTES

# What such a worker has imported and keeps beside what it reads, plans and writes with.
SOLO_BYTES = 8 * MB
# The pixels of an image that is small: nobody shares out its bands, and one worker makes it.
SMALL_BYTES = 32 << 20


def limits_of_one(limits: Limits, workers: int) -> Limits:
    """What one of so many has: a plan counts what there is once, main process, nursery and reserve, and the rest is divided."""
    once = MAIN_BYTES + NURSERY_BYTES + RESERVE_BYTES
    own = (limits.headroom_bytes - once) // workers - SOLO_BYTES
    return replace(limits, headroom_bytes=max(0, min(limits.headroom_bytes, once + own)), cpus=1.0)
