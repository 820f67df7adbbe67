"""A pydoop job of one record a shard: bytes in and out, a combiner, a counter. It runs on the nodes, not in pytest."""

import os
import sys

import numpy
import pydoop.mapreduce.api as api
import pydoop.mapreduce.pipes as pipes

import hdl
from hdl.runners import splits


class Reader(api.RecordReader):
    def __init__(self, context):
        super().__init__(context)
        self.left = [splits.decode(context.get_input_split(raw=True))]

    def next(self):
        if not self.left:
            raise StopIteration
        split = self.left.pop()
        return split["shard"], split

    def get_progress(self):
        return float(not self.left)

    def close(self):
        pass


class Mapper(api.Mapper):
    def map(self, context):
        if context.value.get("die"):
            sys.stderr.write("hdl: the trial's message\n")
            os._exit(3)
        counter = context.get_counter("hdl", "samples")
        context.increment_counter(counter, 10 + context.key)
        numbers = numpy.full(2, context.key, "<f4").tobytes()
        for _ in range(2):
            context.emit(b"\x00\xffsum", numbers)
        context.emit(b"where", os.path.relpath(hdl.__path__[0], os.getcwd()).encode())


class Combiner(api.Reducer):
    def reduce(self, context):
        values = list(context.values)
        if context.key == b"where":
            context.emit(context.key, values[0])
        else:
            context.emit(context.key, b"C" + sum(numpy.frombuffer(value, "<f4") for value in values).tobytes())


class Reducer(api.Reducer):
    def reduce(self, context):
        if context.key == b"where":
            context.emit(b"where", b",".join(sorted(set(context.values))))
            return
        values = list(context.values)
        assert all(value[:1] == b"C" for value in values)
        total = sum(numpy.frombuffer(value[1:], "<f4") for value in values)
        context.emit(b"%d joined" % len(values), b" ".join(b"%g" % number for number in total))


def __main__():
    factory = pipes.Factory(Mapper, Reducer, combiner_class=Combiner, record_reader_class=Reader)
    pipes.run_task(factory, private_encoding=False, auto_serialize=False)
