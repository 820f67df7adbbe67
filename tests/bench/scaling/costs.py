"""The figures that the simulation runs on: what is stated of a cluster, and what is measured of this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """Holds what is stated, and not measured: the cluster's network and the behaviour of its nodes.

    Parameters
    ----------
    latency : float
        Seconds that a byte takes from one host to another.
    bandwidth : float
        Bytes/s of a host's port, each way at the same time.
    local : bool
        All workers and the master are processes of one host: nothing passes a port, and all share its cores.
    cores : int
        Of a worker, or of the one host.
    compute : float
        Seconds that a worker computes in a round, in the middle.
    spread : float
        Standard deviation of the logarithm of the factor by which that varies.
    slow, slow_factor : float
        Share of workers, drawn anew each round, that take so many times longer.
    segment : (int, int)
        Least and most bytes that are encrypted, sent and decrypted while others of a message are on their way.
    detect : float
        Seconds from the end of a process until the master knows of it: heartbeats of NodeManager and master.
    container : float
        Seconds until another container has its worker's hello: YARN's grant, Python, HDFS.
    load : float
        Seconds to read and decode a worker's shards.
    """

    latency: float = 50e-6
    bandwidth: float = 1.25e9
    local: bool = False
    cores: int = 1
    compute: float = 1.0
    spread: float = 0.05
    slow: float = 0.01
    slow_factor: float = 1.5
    segment: tuple[int, int] = 1 << 16, 1 << 20
    detect: float = 1.5
    container: float = 3.0
    load: float = 1.0


@dataclass(frozen=True)
class Costs:
    """Holds what one core of this machine takes, in seconds of processor time: see `calibrate`.

    Parameters
    ----------
    send_message, receive_message : float
        A message of an exchange, without its bytes: encoded, sent, received, joined with nothing in it.
    send_byte, receive_byte : float
        Each byte of it: TLS, and the copy to and from the kernel.
    join_byte : float
        Each byte of an update that is joined to another.
    merge_byte : float
        Each byte of the update from which the next weights are made and kept for the table.
    step : float
        A round of a worker without a byte: its command, the row, the answer.
    handshake_out, handshake_in : float
        A connection to a peer, for who opens it and who accepts it.
    master_round : float
        The master's part of a round that is there once: the driver, the row, the page.
    master_message : float
        A command that it sends with its answer that it reads.
    master_entry : float
        What it does for a worker whose answer a relay has sent with others.
    master_beat, master_beat_entry : float
        A message with signs of life, and each further worker's in it.
    master_hello : float
        A worker that comes, with the watch on it.
    master_address : float
        A peer's address in a command to connect.
    relay : float
        A message that a worker passes on, up or down.
    """

    send_message: float = 0.0
    send_byte: float = 0.0
    receive_message: float = 0.0
    receive_byte: float = 0.0
    join_byte: float = 0.0
    merge_byte: float = 0.0
    step: float = 0.0
    handshake_out: float = 0.0
    handshake_in: float = 0.0
    master_round: float = 0.0
    master_message: float = 0.0
    master_entry: float = 0.0
    master_beat: float = 0.0
    master_beat_entry: float = 0.0
    master_hello: float = 0.0
    master_address: float = 0.0
    relay: float = 0.0
