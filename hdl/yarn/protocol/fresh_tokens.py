"""Fresh tokens: the control channel's messages between the client that follows an application and its master."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hdl.yarn.protocol.message import Finite, Message


@dataclass(frozen=True)
class FreshTokens(Message):
    """Hands the master tokens in place of those that it has, from a client whose user has a ticket."""

    kind: ClassVar[str] = "tokens"
    content: str  # a token file in base64; the channel is encrypted
    taken: Finite  # Unix time
    until: Finite  # when the first of them ends


@dataclass(frozen=True)
class TokensTaken(Message):
    """Answers that the master uses the tokens, and hands them to the workers; or why it does not."""

    kind: ClassVar[str] = "tokens_taken"
    taken: Finite  # of the tokens that this is about
    error: str = ""
