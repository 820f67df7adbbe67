"""Moves what is large between the master and a worker group: payloads of commands, and results.

Of many workers relays pass on payloads, and keep results for the master.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from hdl.errors import DeadlineError, HdlError
from hdl.wire import Buffer
from hdl.yarn.comm import mailbox
from hdl.yarn.master.member import Member
from hdl.yarn.master.membership import BULK_SECONDS, Lost
from hdl.yarn.master.participants import Participants

Content = list[Buffer]
TRIES = 5  # of pushing a payload
MakePayload = Callable[[Member], tuple[str, Content] | None]  # name and content; None: nothing is pushed to it


class Payloads(Participants):
    """Pushes payloads to a worker group's members, and pulls their results. Parameters are those of `Membership`."""

    def push(self, member: Member, name: str, content: Content) -> None:
        """Push a payload to a worker; that a worker is gone shows where its answer is waited for, not here."""
        _insistently(mailbox.push, self.context, member.incarnation.address, name, content)

    def pull(self, member: Member, name: str) -> bytearray:
        """Pull a result that a worker has published under a name.

        Raises
        ------
        Lost
            The worker is gone, or has no such result.
        """
        try:
            return mailbox.pull(self.context, member.incarnation.address, name, BULK_SECONDS)
        except (HdlError, OSError) as error:
            raise Lost([], f"worker {member.rank} does not hand over {name}: {error}") from None

    def results(self, names: Callable[[Member], Iterable[str]]) -> Iterator[tuple[Member, str, Buffer]]:
        """Pull the results of all members' present command, one after the other: the member, the name, the content.

        Parameters
        ----------
        names : function of a member
            Names of its results. Of many workers relays hold them, some joined to one of another name.

        Raises
        ------
        Lost
        """
        if self.relays.bundles:
            for sender, bundle in self.relays.bundles:
                yield from self.relays.taken_apart(self.pull(sender, bundle))
            return
        for member in self.members:
            for name in names(member):
                yield member, name, self.pull(member, name)

    def push_later(self, member: Member, name: str, content: Content) -> None:
        """Push a payload to a worker in the background."""
        self._connections.submit(self.push, member, name, content)

    def push_all(self, payload: MakePayload, members: Sequence[Member] | None = None) -> None:
        """Push each member its payload, all at the same time."""
        payloads = [(member, payload(member)) for member in (self.members if members is None else members)]
        pushed = [self._connections.submit(self.push, member, *pair) for member, pair in payloads if pair]
        for future in pushed:
            future.result()

    def spread(self, member: Member, name: str, content: Content) -> None:
        """Push a bundle of payloads to a relay; that it is gone shows where answers are waited for."""
        _insistently(mailbox.spread, self.context, member.incarnation.address, name, content)


def _insistently(push: Callable[..., None], *arguments: Any) -> None:
    """Push something; again where the connection was ended, as a busy worker ends it if the handshake takes long."""
    for _ in range(TRIES):
        try:
            return push(*arguments, BULK_SECONDS)
        except DeadlineError:  # it has had all the time that there is
            return None
        except (HdlError, OSError):
            continue
