"""Trainings in threads, as the tests of batching run them."""

import threading

LIMIT = 60  # seconds after which it is a deadlock


def run(barrier, bodies, spec):
    """What each of some threads, which joins a barrier and leaves at its end, ends with."""
    ends = [None] * len(bodies)

    def one(number):
        try:
            ends[number] = bodies[number](barrier.join(spec))
        except BaseException as error:
            ends[number] = error
        finally:
            barrier.leave()

    threads = [threading.Thread(target=one, args=[number], daemon=True) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    return ends
