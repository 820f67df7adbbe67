"""Token files and what `klist` prints: whatever the bytes, they end in keys, in a ticket, or in a clean refusal."""

import pytest

from hdl.kerberos import cache
from hdl.yarn.comm import tokens
from hdl.yarn.comm.credentials import Credentials, WorkerCredentials
from hdl.yarn.comm.tokens import TokenError
from hdl.yarn.resource_manager.processes import token_file
from tests.fuzz import mutations

KEYS = Credentials.make().worker("container_1_0001_01_000002")
PIECES = (b"alias", b"identifier", b"password", b"HDFS_DELEGATION_TOKEN", b"host:8020")
WRITABLE = b"HDTS\0\1" + b"".join(bytes([len(piece)]) + piece for piece in PIECES) + b"\1\3key\2ab"


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


INNER = b"".join(field(number, piece) for number, piece in enumerate(PIECES[1:], 1))
MESSAGE = field(1, field(1, b"alias") + field(2, INNER)) + field(2, field(1, b"key") + field(3, b"ab"))
PROTOBUF = b"HDTS\1" + bytes([len(MESSAGE)]) + MESSAGE
CORPUS = [tokens.to_tokens(KEYS), token_file(KEYS), WRITABLE, PROTOBUF, b"HDTS\0\0\0", b"HDTS\1\0"]
STRANGE = [
    b"", b"HDTS", b"HDTS\2", b"HDTS\0\x8c\x7f\xff\xff\xff", b"HDTS\0\x88" + b"\xff" * 8, b"HDTS\0\x80" + b"\xff" * 8,
    b"HDTS\1" + b"\xff" * 10, b"HDTS\1\xff\xff\xff\xff\x0f", b"HDTS\0\0\x8e\xff\xff", b"HDTS\0\0\1\1\xff\1a",
]  # fmt: skip
KLIST = (
    b"Ticket cache: FILE:/tmp/krb5cc_1000\nDefault principal: ada@EXAMPLE.ORG\n\n"
    b"Valid starting     Expires            Service principal\n"
    b"11/29/26 12:00:00  11/29/26 22:00:00  krbtgt/EXAMPLE.ORG@EXAMPLE.ORG\n\trenew until 12/06/26 12:00:00\n"
)


def test_the_corpus_is_read():
    assert tokens.parse(CORPUS[0]) == tokens.parse(CORPUS[1]) == KEYS
    assert tokens.parse(WRITABLE) == tokens.parse(PROTOBUF) == {"key": b"ab"}
    assert tokens.kinds(WRITABLE) == tokens.kinds(PROTOBUF) == {"HDFS_DELEGATION_TOKEN"}


@pytest.mark.parametrize("content", STRANGE)
def test_strange_files_are_refused(content):
    with pytest.raises(TokenError):
        mutations.ends(tokens.parse, content, ())


@pytest.mark.parametrize("read", [tokens.parse, tokens.kinds])
def test_a_damaged_token_file_ends_in_keys_or_in_a_token_error(fuzz, read):
    fuzz(read, mutations.bytes_of(CORPUS), STRANGE, errors=(TokenError,), share=0.5)


def test_keys_out_of_a_damaged_file_are_checked(fuzz):
    """What a worker begins with: an error names what is wrong with the file, and shows none of it."""

    def read(content):
        WorkerCredentials.from_dict(tokens.parse(content)).tls(server=False)

    fuzz(read, mutations.bytes_of(CORPUS[:2]), share=0.3)


def test_damaged_words_of_klist_end_in_a_ticket_or_none(fuzz):
    def read(content):
        return cache.read(content.decode(errors="replace"))

    assert read(KLIST).principal == "ada@EXAMPLE.ORG"
    fuzz(read, mutations.bytes_of([KLIST]), [KLIST.replace(b"11/29/26", b"99/99/99")], errors=(), share=0.3)
