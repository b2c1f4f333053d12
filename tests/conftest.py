"""What all tests share: no time limit per example, since the machines that run them are shared and noisy."""

from hypothesis import settings

settings.register_profile("noisy", deadline=None)
settings.load_profile("noisy")
