"""What each worker keeps: bounds that its own code holds, and that the plan counts with.

Imports nothing: workers need no more of `plan`.
"""

# Encoded bytes that wait in a worker for slow storage: enough for chunk rows of many folders. On fast storage next to nothing waits.
QUEUE_BYTES = 8 << 20
# Files that a worker keeps open, and pages of which it keeps the places of segments (as an array: a fifth of what the tags take).
OPEN_FILES = 8
CACHED_PAGES = 16
# Pixels whose colours are converted together: to make a transform takes as long as to use it on some 300,000.
COLOUR_PIXELS = 1 << 19
