"""A clock that a test sets."""

SECONDS = 120.0


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now
