"""Computes how long tokens live, when fresh ones are taken, and what is said of it; no Java.

A token lives until its `max-lifetime` if somebody renews it every `renew-interval`, which the ResourceManager does for
those that an application is submitted with. Nobody renews the fresh ones that follow: they are good for one interval,
and others take their place before it is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

FRACTION = 0.75  # of their life, after which fresh tokens are taken
LATE = 0.85  # of their life, after which whoever should have taken some has not
RETRIES = 8  # in what is left of their life, when no fresh ones can be had
SOONEST, LATEST = 1.0, 60.0  # seconds until the next try
LOOK_SECONDS = 60.0  # a machine may sleep, or its clock be set: the clock is looked at so often


@dataclass(frozen=True)
class Lifetime:
    """Says how long some tokens live, in Unix time.

    Parameters
    ----------
    taken : float
        When they were issued.
    until : float
        When the first of them ends, if nobody renews them but who was asked to.
    """

    taken: float
    until: float

    def due(self, every: float = 0.0) -> float:
        """Return when fresh tokens should be taken; `every` so many seconds at the latest, where it is not 0.

        Examples
        --------
        >>> Lifetime(1000, 1100).due(), Lifetime(1000, 1100).due(every=10)
        (1075.0, 1010)
        """
        after = FRACTION * (self.until - self.taken)
        return self.taken + (min(after, every) if every else after)

    def late(self) -> float:
        """Return when it is said that fresh tokens are missing.

        Examples
        --------
        >>> Lifetime(1000, 1100).late()
        1085.0
        """
        return self.taken + LATE * (self.until - self.taken)

    def retry(self, now: float, every: float = 0.0) -> float:
        """Return when to try again, after a try at `now` has failed; `every` as of `due`.

        Examples
        --------
        >>> Lifetime(0, 100).retry(76), Lifetime(0, 86400).retry(70000), Lifetime(0, 100).retry(200)
        (79.0, 70060.0, 201.0)
        """
        return now + min(every or LATEST, LATEST, max(SOONEST, (self.until - now) / RETRIES))


Fresh = TypeVar("Fresh")


class Renewer(Generic[Fresh]):
    """Takes fresh tokens whenever they are due, and hands them on; a failure is told once and tried again.

    Parameters
    ----------
    lifetime : Lifetime
        Of the tokens that there are.
    obtain : function
        Takes fresh tokens, and returns them with their lifetime.
    hand : function of tokens and their lifetime
        Hands them to those who use them.
    tell : function of str
        Called with what people should know.
    every : float
        Seconds after which fresh tokens are taken at the latest; 0: by their lifetime alone.
    at_once : bool
        Take fresh ones at the first step, whatever those that there are say.
    clock : function
        Returns Unix time.
    """

    def __init__(
        self,
        lifetime: Lifetime,
        obtain: Callable[[], tuple[Fresh, Lifetime]],
        hand: Callable[[Fresh, Lifetime], object],
        tell: Callable[[str], object],
        every: float = 0.0,
        at_once: bool = False,
        clock: Callable[[], float] = time.time,
    ):
        self.lifetime, self._obtain, self._hand = lifetime, obtain, hand
        self._tell, self._every, self._clock = tell, every, clock
        self._failing = False
        self._next = clock() if at_once else lifetime.due(every)
        self._over = threading.Event()

    def step(self) -> float:
        """Take fresh tokens, if it is time; returns the seconds until it is time again."""
        now = self._clock()
        if now < self._next:
            return self._next - now
        try:
            fresh, lifetime = self._obtain()
            self._hand(fresh, lifetime)
        except Exception as error:  # whatever it is: without fresh tokens the training ends
            if not self._failing:
                self._tell(f"no fresh tokens yet: {error}. {ends(self.lifetime)}; it is tried again until then")
            self._failing, self._next = True, self.lifetime.retry(now, self._every)
        else:
            if self._failing:
                self._tell(f"fresh tokens are there: {ends(lifetime)}")
            self._failing, self.lifetime, self._next = False, lifetime, lifetime.due(self._every)
        return max(0.0, self._next - self._clock())

    def start(self) -> None:
        """Renew in a thread, until `stop`."""
        threading.Thread(target=self._run, name="hdl-tokens", daemon=True).start()

    def stop(self) -> None:
        """Take no more tokens."""
        self._over.set()

    def _run(self) -> None:
        wait = 0.0
        while not self._over.wait(min(wait, LOOK_SECONDS)):
            wait = self.step()


def ends(lifetime: Lifetime) -> str:
    """Say when tokens end.

    Examples
    --------
    >>> ends(Lifetime(0, 0))[:29]
    'those of now are good until 1'
    """
    return f"those of now are good until {moment(lifetime.until)}"


def moment(when: float) -> str:
    """Write a moment as people of this place do, with the date."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def limit(lifetime: Lifetime | None, keytab: bool, followed: bool, ticket_ends: float | None = None) -> str | None:
    """Say until when a training can run, where that has an end.

    Parameters
    ----------
    lifetime : Lifetime or None
        Of the tokens that the application was submitted with; None: it needs none.
    keytab : bool
        The master takes fresh ones by a keytab.
    followed : bool
        The client that submitted it follows it, and takes fresh ones by its ticket.
    ticket_ends : float or None
        When that ticket ends for good, renewed as often as it can be; None: it is not known.

    Returns
    -------
    str or None
        None: nothing limits it as long as whoever takes the tokens runs.
    """
    if lifetime is None or keytab:
        return None
    longer = "--principal and --keytab let it run on"
    if not followed:
        return (
            f"this training can run until {moment(lifetime.until)}, when its tokens end: `hdl attach` takes fresh ones "
            f"by your ticket as long as it follows; {longer} without"
        )
    if ticket_ends is not None and ticket_ends < lifetime.due():
        return (
            f"this training can run until {moment(lifetime.until)}, when its tokens end: your Kerberos ticket can be "
            f"used until {moment(ticket_ends)} only, before fresh ones are due. Run kinit again; {longer} without"
        )
    return None


def renewal_fields(
    file_systems: Sequence[str], lifetime: Lifetime, principal: str = "", every: float = 0.0
) -> dict[str, Any]:
    """Make the fields that tell a master how it comes to fresh tokens: for the container's credentials, under RENEWAL.

    Parameters
    ----------
    file_systems : sequence of str
    lifetime : Lifetime
        Of the tokens that the application is submitted with.
    principal : str
        Of the keytab in the master's container; empty: there is none, and a client hands over fresh tokens.
    every : float
        See `Settings.renew_seconds`.
    """
    return {
        "file_systems": list(file_systems), "principal": principal, "taken": lifetime.taken, "until": lifetime.until,
        "every": every,
    }  # fmt: skip
