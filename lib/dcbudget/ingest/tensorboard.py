"""TensorBoard event files: TFRecords of protocol buffers, of which the scalars are read.

A record is its length (8 bytes), the masked CRC-32C of the length, the data and the masked CRC-32C of the data
(https://www.tensorflow.org/tutorials/load_data/tfrecord). Messages and field numbers are those of TensorBoard's
`event.proto`, `summary.proto` and `tensor.proto` (https://github.com/tensorflow/tensorboard, compat/proto). The run
is the folder, as TensorBoard has it; the writer leaves the host in the file's name and nowhere else.
"""

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from dcbudget.ingest.plan import BadRecord, Options, Plan, Reader, Records
from dcbudget.ingest.run_logs import Run, metric_names, name_of_run, run_plan, utc
from dcbudget.ingest.source import Source

HEADER = struct.Struct("<QI")
CHECKSUM_BYTES = 4
# `Event`, `Summary.Value` and `TensorProto`: what a field number means.
WALL_TIME, STEP, SUMMARY = 1, 2, 5
TAG, SIMPLE_VALUE, TENSOR = 1, 2, 8
DTYPE, CONTENT = 1, 4
# dtype -> how the bytes of `tensor_content` are read, and the field that holds a value else.
FLOAT, DOUBLE, INT32, INT64 = 1, 2, 3, 9
TENSOR_TYPES = {FLOAT: ("<f", 5), DOUBLE: ("<d", 6), INT32: ("<i", 7), INT64: ("<q", 10)}
FILE_NAME = re.compile(r"events\.out\.tfevents\.\d+\.(?P<host>.+?)(\.\d+\.\d+)?(\.v2)?(\.(gz|zst))?")


def _crc_table() -> list[int]:
    """CRC-32C (Castagnoli), reflected."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def masked_crc(data: bytes) -> int:
    """The checksum of a TFRecord: CRC-32C, rotated right by 15 bits, plus a constant."""
    crc, table = 0xFFFFFFFF, CRC_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def detect(source: Source) -> bool:
    if source.kind == "parquet" or (source.kind == "text" and "\x00" not in source.head[: HEADER.size]):
        return False
    with source.open_bytes() as stream:
        return _begins_record(stream.read(HEADER.size))


def plan(source: Source, options: Options) -> Plan:
    return run_plan("tensorboard", convert, options)


def convert(source: Source) -> Records:
    """Every scalar of every event; the line is the record's number. Other summaries are counted as skipped."""
    run = Run(name_of_run(source.path))
    if named := FILE_NAME.fullmatch(source.path.name):
        run.host = named["host"]
    with source.open_bytes() as stream:
        for number, record in enumerate(_records(stream), 1):
            if isinstance(record, str):
                yield BadRecord(number, record, "")
                continue
            try:
                time, step, values = _event(record)
                moment = utc(time)
            except (struct.error, ValueError, IndexError, OverflowError, TypeError, AttributeError) as error:
                yield BadRecord(number, f"no TensorBoard event ({error})", "")
                continue
            names = metric_names(values)
            for tag, value in values.items():
                yield number, run.record(names[tag], value, step, moment)


def _begins_record(header: bytes) -> bool:
    return len(header) == HEADER.size and HEADER.unpack(header)[1] == masked_crc(header[:8])


def _records(stream: BinaryIO) -> Iterator[bytes | str]:
    """The data of each record, or what is wrong with it; after a damaged length the next sound one is looked for."""
    while header := stream.read(HEADER.size):
        if len(header) == HEADER.size and not _begins_record(header):
            yield "its length is damaged"
            rest = header + stream.read()
            yield from _records_within(rest, _next_header(rest))
            return
        body = stream.read(HEADER.unpack(header)[0] + CHECKSUM_BYTES) if len(header) == HEADER.size else b""
        yield _data(header, body)


def _records_within(rest: bytes, position: int) -> Iterator[bytes | str]:
    while position < len(rest):
        header = rest[position : position + HEADER.size]
        if len(header) == HEADER.size and not _begins_record(header):
            yield "its length is damaged"
            position += _next_header(rest[position:])
            continue
        length = HEADER.unpack(header)[0] + CHECKSUM_BYTES if len(header) == HEADER.size else 0
        position += HEADER.size
        yield _data(header, rest[position : position + length])
        position += length


def _next_header(rest: bytes) -> int:
    """Where the next record begins; lengths are below 4 GiB, so that four of their bytes are zero."""
    zeros = rest.find(b"\0\0\0\0", 5)
    while zeros >= 0:
        if _begins_record(rest[zeros - 4 : zeros + 8]):
            return zeros - 4
        zeros = rest.find(b"\0\0\0\0", zeros + 1)
    return len(rest)


def _data(header: bytes, body: bytes) -> bytes | str:
    if len(header) < HEADER.size or len(body) < HEADER.unpack(header)[0] + CHECKSUM_BYTES:
        return "the file ends within it"
    data, checksum = body[:-CHECKSUM_BYTES], int.from_bytes(body[-CHECKSUM_BYTES:], "little")
    return data if masked_crc(data) == checksum else "its checksum does not fit its data"


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a protocol buffer: an int of a varint, the bytes of any other wire type."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        wire = key & 7
        if wire == 0:
            value, position = _varint(message, position)
        else:
            if wire == 2:
                length, position = _varint(message, position)
            elif wire in (1, 5):
                length = 8 if wire == 1 else 4
            else:
                raise ValueError(f"wire type {wire}")
            value = message[position : position + length]
            position += length
            if len(value) < length:
                raise ValueError("a field is longer than its message")
        yield key >> 3, value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _event(message: bytes) -> tuple[float, int, dict[str, float | None]]:
    """The wall time, step and scalars by tag of an event; what is no scalar has None."""
    time, step, values = 0.0, 0, {}
    for field, value in _fields(message):
        if field == WALL_TIME:
            (time,) = struct.unpack("<d", value)
        elif field == STEP:
            step = _signed(value)
        elif field == SUMMARY:
            for _, summary in _fields(value):
                tag, number = _summary_value(summary)
                values[tag] = number
    return time, step, values


def _summary_value(message: bytes) -> tuple[str, float | None]:
    tag, number = "", None
    for field, value in _fields(message):
        if field == TAG:
            tag = value.decode()
        elif field == SIMPLE_VALUE:
            (number,) = struct.unpack("<f", value)
        elif field == TENSOR:
            number = _tensor_scalar(value)
    return tag, number


def _tensor_scalar(message: bytes) -> float | None:
    """The value of a tensor of one number, or None."""
    fields = dict(_fields(message))
    kind = TENSOR_TYPES.get(fields.get(DTYPE))
    if kind is None:
        return None
    layout, place = kind
    if (content := fields.get(CONTENT)) is None:
        content = fields.get(place)
        if isinstance(content, int):
            return _signed(content)
        if content is not None and layout in ("<i", "<q"):
            value, end = _varint(content, 0)
            return _signed(value) if end == len(content) else None
    if content is None or len(content) != struct.calcsize(layout):
        return None
    return struct.unpack(layout, content)[0]


READER = Reader("tensorboard", "run_metrics", "TensorBoard event file: its scalars", detect, plan)
