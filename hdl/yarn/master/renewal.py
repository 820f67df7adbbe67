"""The master's tokens: keeps them fresh by a keytab, or takes those that a client hands it, and gives them to workers.

A keytab lies in the master's container alone, and its login stands beside the process's own (`tokens.KeytabLogin`). All
else that the application does goes by tokens, as without a keytab.
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from hdl import fs
from hdl.errors import HdlError
from hdl.yarn.comm import mailbox
from hdl.yarn.master.member import Incarnation, Member
from hdl.yarn.protocol import ProtocolError, TokensTaken, read_fresh_tokens
from hdl.yarn.resource_manager import tokens
from hdl.yarn.resource_manager.lifetimes import Lifetime, Renewer, moment
from hdl.yarn.settings import KEYTAB, RENEWAL

GIVE_SECONDS = 20.0  # that a worker has to take them
AGAIN_SECONDS = 5.0  # until a worker that has not taken them is asked again


class MasterTokens:
    """Keeps an application's tokens.

    Parameters
    ----------
    fields : dict
        Of the container's credentials: see `lifetimes.renewal_fields`.
    conf : Java's Configuration
    take : function of bytes
        Uses fresh tokens in this process.

    Attributes
    ----------
    tell : function of str
        Called with messages for people.
    fresh : (int, bytes)
        How often fresh ones were taken, and the last ones as a token file.
    lifetime : Lifetime
        Of the newest ones.
    """

    def __init__(self, fields: Mapping[str, Any], conf: Any, take: Callable[[bytes], object] = tokens.take):
        self.tell: Callable[[str], object] = lambda text: None
        self.fresh: tuple[int, bytes] = 0, b""
        self.principal = str(fields["principal"])
        self._roots, self._conf, self._take = list(fields["file_systems"]), conf, take
        self.lifetime = Lifetime(float(fields["taken"]), float(fields["until"]))
        self._warned = False  # that they end soon
        self._login: tokens.KeytabLogin | None = None
        self._pool = ThreadPoolExecutor(8, "hdl-give-tokens")
        self._renewer: Renewer[bytes] | None = None
        if self.principal:
            self._renewer = Renewer(
                self.lifetime,
                self._obtain,
                self._use,
                lambda text: self.tell(text),
                float(fields["every"]),
                at_once=True,
            )

    @classmethod
    def of(cls, entries: Mapping[str, bytes], conf: Any) -> MasterTokens | None:
        """Read from the container's credentials how this application comes to fresh tokens; None if it needs none."""
        return cls(json.loads(entries[RENEWAL]), conf) if RENEWAL in entries else None

    def begin(self, wait: bool) -> None:
        """Take fresh tokens by the keytab, if there is one, from now on; `wait` for the first ones.

        A second attempt of the master waits: the tokens in its container are the application's first ones.
        """
        if self._renewer:
            if wait:
                self._renewer.step()
            self._renewer.start()

    def receive(self, fields: dict[str, Any]) -> TokensTaken:
        """Take the fresh tokens in a client's message, and return the answer."""
        taken = 0.0
        try:
            message = read_fresh_tokens(fields)
            taken = message.taken
            if self.principal:
                return TokensTaken(taken, f"the master takes its own, by the keytab of {self.principal}")
            if taken <= self.lifetime.taken:
                return TokensTaken(taken, "the master has newer ones")
            self._use(base64.b64decode(message.content, validate=True), Lifetime(taken, message.until))
        except (ProtocolError, binascii.Error) as error:
            return TokensTaken(taken, str(error))
        except (HdlError, OSError) as error:
            return TokensTaken(taken, f"the master cannot take them: {error}")
        return TokensTaken(taken)

    def give(self, members: Sequence[Member], context: ssl.SSLContext) -> None:
        """Give the newest tokens to workers that are here and have older ones, in the background."""
        if not (self.principal or self._warned) and time.time() > self.lifetime.late():
            self._warned = True
            self.tell(
                f"nobody has handed over fresh tokens: this training can run until {moment(self.lifetime.until)}. "
                "`hdl attach`, where it was submitted and with a Kerberos ticket, takes some"
            )
        number, content = self.fresh
        for member in members if number else ():
            mine = member.incarnation
            if mine.state.here and mine.tokens < number and time.monotonic() >= mine.tokens_again:
                mine.tokens = number
                self._pool.submit(self._give, member.rank, mine, context, number, content)

    def close(self) -> None:
        """Take no more tokens, and give none."""
        if self._renewer:
            self._renewer.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def remove_keytab(self, staging: str) -> None:
        """Remove the keytab from the application's folder: it is over, and no further attempt will need it."""
        if self.principal:
            with suppress(OSError, HdlError):
                fs.remove(fs.join(staging, KEYTAB))

    def _obtain(self) -> tuple[bytes, Lifetime]:
        if self._login is None:
            self._login = tokens.KeytabLogin(self.principal, KEYTAB)
        return self._login.run(lambda: tokens.take_fresh(self._conf, self._roots))

    def _use(self, content: bytes, lifetime: Lifetime) -> None:
        """Use fresh tokens: in this process and in the containers that it starts, then in those that run."""
        self._take(content)
        self.lifetime, self._warned = lifetime, False
        self.fresh = self.fresh[0] + 1, content
        whose = f"by the keytab of {self.principal}" if self.principal else "from the client that follows"
        self.tell(f"fresh tokens {whose}, good until {moment(lifetime.until)}")

    def _give(self, rank: int, mine: Incarnation, context: ssl.SSLContext, number: int, content: bytes) -> None:
        try:
            mailbox.give_tokens(context, mine.address, content, GIVE_SECONDS)
        except Exception as error:
            if mine.state.here and not mine.tokens_again:
                self.tell(f"worker {rank} has not taken fresh tokens yet: {error}")
            mine.tokens, mine.tokens_again = number - 1, time.monotonic() + AGAIN_SECONDS
