"""Caffe's protobuf messages, in a pool of their own so that BVLC Caffe can be loaded beside them.

`messages.NetParameter()` and its like work with `google.protobuf.text_format` and the binary format.
"""

from __future__ import annotations

import re
import warnings

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.message import DecodeError, Message

from camcaffe.caffe.schema import SCHEMA

_SCALARS = ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32")
_LABELS = {
    "": Field.LABEL_OPTIONAL,
    "!": Field.LABEL_REQUIRED,
    "*": Field.LABEL_REPEATED,
    "+": Field.LABEL_REPEATED,
}
_FIELD = re.compile(r"(\w+)([*+!]?) (\w+)=(\d+)(?::(.*))?")

# A packed field is, in the file, a run of bytes: declared as such, a blob of 400 MB is read in one
# copy, where a list of floats would be taken apart number by number.
_RAW_BLOBS = {"float+ data=": "bytes* data=", "double+ double_data=": "bytes* double_data="}


def _message_classes(schema: str) -> dict:
    file = _file_descriptor(schema)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    if hasattr(message_factory, "GetMessageClass"):
        class_of = message_factory.GetMessageClass
    else:  # protobuf before 4.22
        class_of = message_factory.MessageFactory(pool).GetPrototype
    return {
        message.name: class_of(pool.FindMessageTypeByName(f"caffe.{message.name}"))
        for message in file.message_type
    }


def _file_descriptor(schema: str) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="camcaffe.proto", package="caffe", syntax="proto2")
    lines = re.sub(r",\n\s+", ", ", schema).strip().split("\n")
    messages = {line.split()[1] for line in lines if line.startswith("message")}
    for line in lines:
        if line.startswith("message"):
            message = file.message_type.add(name=line.split()[1])
        elif line.startswith("enum"):
            _add_enum(file, line)
        elif line.startswith("  enum"):
            _add_enum(message, line)
        else:
            for text in line.strip().split(", "):
                _add_field(message, text, messages)
    return file


def _add_enum(parent, line: str) -> None:
    _, name, values = line.split(None, 2)
    enum = parent.enum_type.add(name=name)
    for value in values.split(", "):
        key, number = value.split("=")
        enum.value.add(name=key, number=int(number))


def _add_field(message: descriptor_pb2.DescriptorProto, text: str, messages: set) -> None:
    type_name, label, name, number, default = _FIELD.fullmatch(text).groups()
    field = message.field.add(name=name, number=int(number), label=_LABELS[label])
    if type_name in _SCALARS:
        field.type = getattr(Field, f"TYPE_{type_name.upper()}")
    elif type_name in messages:
        field.type, field.type_name = Field.TYPE_MESSAGE, f".caffe.{type_name}"
    else:
        owner = f"{message.name}." if type_name in {enum.name for enum in message.enum_type} else ""
        field.type, field.type_name = Field.TYPE_ENUM, f".caffe.{owner}{type_name}"
    if label == "+":
        field.options.packed = True
    if default is not None:
        field.default_value = default


CLASSES = _message_classes(SCHEMA)
BlobProto = CLASSES["BlobProto"]
Datum = CLASSES["Datum"]
FillerParameter = CLASSES["FillerParameter"]
LayerParameter = CLASSES["LayerParameter"]
NetParameter = CLASSES["NetParameter"]
NetState = CLASSES["NetState"]
NetStateRule = CLASSES["NetStateRule"]
ParamSpec = CLASSES["ParamSpec"]
SolverParameter = CLASSES["SolverParameter"]
V0LayerParameter = CLASSES["V0LayerParameter"]
V1LayerParameter = CLASSES["V1LayerParameter"]


def parse(kind: type, data: bytes) -> Message:
    """A message of this class from its binary form.

    Raises:
        DecodeError: the bytes are no such message.
    """
    message = kind()
    try:
        with warnings.catch_warnings(record=True) as stopped_early:  # as some runtimes only warn
            warnings.simplefilter("always")
            message.ParseFromString(data)
    except (RuntimeError, ValueError) as error:
        raise DecodeError(str(error)) from error
    if stopped_early:
        raise DecodeError(str(stopped_early[0].message))
    return message


def with_raw_blobs() -> dict:
    """The same messages by name, but a blob's `data` and `double_data` are lists of `bytes`.

    For large binary files: each entry of `data` is one packed run of little-endian float32 (float64 in
    `double_data`). Numbers that a file stores unpacked are not in the list: they end up as unknown fields.
    """
    schema = SCHEMA
    for typed, raw in _RAW_BLOBS.items():
        schema = schema.replace(typed, raw)
    return _message_classes(schema)
