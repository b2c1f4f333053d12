"""What all tests share: how hypothesis chooses its examples.

No time limit per example, since the machines that run them are shared and noisy. Ordinarily the same examples every time, so that a test
that fails does so because of a change; `make soak` looks for new ones, and names their seed.
"""

from hypothesis import settings

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("fresh", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("same")
