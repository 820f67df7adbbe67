"""Numbers and structs of csrc's headers that Python and Cython say once more: they are held equal here."""

import re

import numpy as np
import pytest

from hdl import _cpu
from hdl.ops import draws, rules
from hdl.ops.cuda import calls, memory, program
from tests.conftest import ROOT

HEADERS = ["csrc/hdl.h", "csrc/rng.h", "csrc/cuda/hdl_cuda.h"]
DECLARED = ["hdl/_header.pxi", "hdl/_autoencoder.pxi", "hdl/_rbm.pxi", "hdl/_cuda.pyx"]
TYPEDEF = re.compile(r"typedef struct \{(.*?)\n\} (\w+);", re.DOTALL)
ENUMERATOR = re.compile(r"\b(HDL_\w+) =\s+(\d+)")
EXTERN = re.compile(r"^    ctypedef struct (\w+):\n((?:        .+\n)+)", re.MULTILINE)
FIELD = re.compile(r"(\**)(\w+)((?:\[\w+\])?)")
INSIDE = {"hdl_cuda_call": {"only_phase"}}  # fields that the C side sets itself, and Cython does not name


def read(name):
    """A source without its comments."""
    return re.sub(r"/\*.*?\*/", "", (ROOT / name).read_text(), flags=re.DOTALL)


NUMBERS = {name: int(number) for header in HEADERS for name, number in ENUMERATOR.findall(read(header))}
# Entries of a table are numbered as they stand there.
TABLES = {}  # names in the order of each
for header, first in (("csrc/rules.h", 0), ("csrc/activations.h", 0), ("csrc/losses.h", 4)):
    entries = re.findall(r"^  (?:RULE|ACTIVATION|LOSS)\((\w+), \"(\w+)\"", read(header), re.MULTILINE)
    assert entries
    assert all(number == name.upper() for number, name in entries)
    NUMBERS |= {f"HDL_{number}": place for place, (number, _) in enumerate(entries, first)}
    TABLES[header] = [name for _, name in entries]


def named(prefix, *names):
    """The numbers of enumerators that begin alike."""
    return [NUMBERS[f"HDL_{prefix}{name}"] for name in names]


def upper(names):
    return [name.upper() for name in names]


def fields(body, separator):
    """[(type, name)] of a struct's declarations, arrays with their lengths as numbers."""
    found = []
    for line in filter(None, (line.strip() for line in body.split(separator))):
        kind, first, rest = re.fullmatch(r"((?:const )?\w+) (\**\w[^,]*)(.*)", line, re.DOTALL).groups()
        for stars, name, length in FIELD.findall(first + rest):
            number = length and f"[{NUMBERS.get(length[1:-1], length[1:-1])}]"
            found.append((kind + stars, name + number))
    return found


STRUCTS = {name: fields(body, ";") for header in HEADERS for body, name in TYPEDEF.findall(read(header))}


@pytest.mark.parametrize("source", DECLARED)
def test_structs_are_declared_as_the_headers_have_them(source):
    declared = dict(EXTERN.findall((ROOT / source).read_text()))
    structs = {name: fields(body, "\n") for name, body in declared.items() if body.strip() != "pass"}
    assert structs
    for name, own in structs.items():
        assert own == [field for field in STRUCTS[name] if field[1] not in INSIDE.get(name, ())], name


def test_every_struct_of_the_headers_is_declared():
    declared = {name for source in DECLARED for name, _ in EXTERN.findall((ROOT / source).read_text())}
    assert declared - {"hdl_plan"} == STRUCTS.keys()  # which is opaque


def test_the_core_numbers_names_as_its_header_does():
    assert named("", *upper(_cpu.ACTIVATIONS)) == list(range(len(_cpu.ACTIVATIONS)))
    assert named("", "SOFTMAX", "SIGMOID_CE", "SQUARED") == [
        _cpu.LOSSES.index(n) for n in ("softmax", "sigmoid", "squared")
    ]
    assert named("", *upper(_cpu.RULES)) == list(range(len(_cpu.RULES)))
    assert named("ISA_", *upper(_cpu.ISAS)) == list(range(len(_cpu.ISAS)))
    assert tuple(rules.VECTORS) == _cpu.RULES
    assert [_cpu.state_vectors(rule) for rule in _cpu.RULES] == list(rules.VECTORS.values())


def test_programs_number_operations_as_their_header_does():
    kinds = ["NN", "NT", "TN", "GATHER", "LOSS", "MAX_NORM", "FILL", "NORMS", "CONTRACTIVE"]
    epilogues = ["ACTIVATE", "DERIVE", "DRAW", "UPDATE", "ADD", "SPARSITY"]
    for prefix, names in (("OP_", kinds), ("EPILOGUE_", epilogues), ("ARENA_", ["W", "S", "T", "G"])):
        assert named(prefix, *names) == [getattr(program, name) for name in names]
        assert sum(name.startswith(f"HDL_{prefix}") for name in NUMBERS) == len(names)
    assert NUMBERS["HDL_ARENAS"] == 4
    assert named("", *upper(program.ACTIVATIONS)) == list(program.ACTIVATIONS.values())
    losses = {"softmax": "SOFTMAX", "sigmoid": "SIGMOID_CE", "squared": "SQUARED", "sigmoid_squared": "SIGMOID_SQUARED"}
    losses |= {name: name.upper() for name in TABLES["csrc/losses.h"]}
    assert {name: NUMBERS[f"HDL_{own}"] for name, own in losses.items()} == program.LOSSES
    assert {number: NUMBERS[f"HDL_TILE_{side}"] for number, side in program.SIZES.items()} == {
        n: n for n in program.SIZES
    }


def test_calls_number_what_they_ask_for_as_the_headers_do(monkeypatch):
    assert {name: NUMBERS[f"HDL_{name.upper()}"] for name in calls.PRECISIONS} == calls.PRECISIONS
    for name in ("auto", "kernel", "graph"):
        monkeypatch.setenv("HDL_CUDA_LOOP", name)
        assert calls._loop() == NUMBERS[f"HDL_LOOP_{name.upper()}"]
    assert NUMBERS["HDL_CSR"] == memory._CSR
    assert {np.dtype(np.float32): NUMBERS["HDL_F32"], np.dtype(np.uint8): NUMBERS["HDL_U8"]} == memory._X_TYPES


def test_draws_have_the_streams_of_the_core():
    words = dict(re.findall(r"#define (HDL_RNG_\w+) (0x\w+)u", read("csrc/rng.h")))
    assert {name: int(word, 16) for name, word in words.items()} == {
        "HDL_RNG_DROPOUT": draws.DROPOUT, "HDL_RNG_GIBBS": draws.GIBBS, "HDL_RNG_CHAINS": draws.CHAINS,
    }  # fmt: skip
