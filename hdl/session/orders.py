"""Orders of searches and of estimators' fits, which the workers of a session carry out beside its commands."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from hdl.errors import HdlError, Interrupted, SessionEnded
from hdl.session import places

if TYPE_CHECKING:
    from hdl.session.server import Server

TELL_SECONDS = 60.0  # that whoever ordered has to take what is told
LONGEST = 1 << 14  # characters of an error's message that are told


def carry_out(server: Server, channel: socket.socket, fields: dict[str, Any]) -> None:
    """Have a session's workers train what is ordered, and tell whoever ordered it what happens.

    Parameters
    ----------
    server : Server
    channel : socket
        To who ordered, whose end ends the order.
    fields : dict
        The order.
    """
    from hdl import told, trial
    from hdl.runners.messages import error_fields

    channel.settimeout(TELL_SECONDS)

    def notify(event: Any) -> None:
        if plain := told.event_fields(event):
            places.send(channel, {"event": plain})

    def wanted() -> bool:
        return not (server.stopped and not server.ended) and not places.gone(channel)

    def trained() -> dict[str, Any]:
        job = trial.job_of(fields["job"])
        if fields["whole"]:
            return trial.outcome_fields(server.workers.train_whole(job, notify, wanted))
        place = str(fields["folder"]), int(fields["umask"])
        return trial.outcome_fields(server.workers.train(job, notify, wanted, *place))

    def fitted() -> dict[str, Any]:
        try:
            with server.counted():
                server.workers.fit(str(fields["order"]), wanted)
        except (KeyboardInterrupt, Interrupted):
            if not server.stopped:
                raise KeyboardInterrupt from None
            ended = {**server.record, "ended": server.ended or "it was stopped"}
            raise SessionEnded(places.died(server.record["name"], ended)) from None
        return {}

    try:
        places.send(channel, {"outcome": fitted() if fields["do"] == "fit" else trained()})
    except KeyboardInterrupt:  # whoever asked is gone, or the session ends
        return
    except OSError as error:
        if not isinstance(error, HdlError):  # nobody takes what is told
            return
        places.send(channel, {"error": error_fields(error, LONGEST)})
    except Exception as error:
        places.send(channel, {"error": error_fields(error, LONGEST)})
