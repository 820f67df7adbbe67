"""Trainings in threads, as the tests of batching run them."""

import threading

LIMIT = 250  # seconds after which it is a deadlock


def run(barrier, bodies, spec):
    """Run bodies in threads, each of which joins a barrier and leaves at its end; return the results or errors."""
    results = [None] * len(bodies)

    def one(number):
        try:
            results[number] = bodies[number](barrier.join(spec))
        except BaseException as error:
            results[number] = error
        finally:
            barrier.leave()

    threads = [threading.Thread(target=one, args=[number], daemon=True) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    return results
