"""What all tests share: Ctrl-C, and how hypothesis chooses its examples.

No time limit per example, since the machines that run them are shared and noisy. Ordinarily the same examples every time, so that a test
that fails does so because of a change; `make soak` looks for new ones, and names their seed.
"""

import signal

from hypothesis import settings

# A shell starts what runs in the background with SIGINT ignored, and the programs that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("fresh", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("same")
