import importlib

import pytest
from google.protobuf import descriptor_pool, text_format

from camcaffe.caffe import messages


def _fields(descriptor):
    return [
        (
            field.name,
            field.number,
            field.type,
            field.label,
            field.GetOptions().packed,
            field.has_default_value,
            None if field.label == field.LABEL_REPEATED else field.default_value,
            field.message_type.full_name if field.message_type else None,
            field.enum_type.full_name if field.enum_type else None,
        )
        for field in descriptor.fields
    ]


def _values(enum):
    return [(value.name, value.number) for value in enum.values]


@pytest.mark.pycaffe
def test_every_field_is_caffes():
    caffe_pb2 = importlib.import_module("caffe.proto.caffe_pb2")
    ours, real = messages.NetParameter.DESCRIPTOR.file, caffe_pb2.DESCRIPTOR
    assert messages.NetParameter is not caffe_pb2.NetParameter
    assert set(ours.message_types_by_name) == set(real.message_types_by_name)
    for name, theirs in real.message_types_by_name.items():
        mine = ours.message_types_by_name[name]
        assert _fields(mine) == _fields(theirs), name
        assert set(mine.enum_types_by_name) == set(theirs.enum_types_by_name), name
        for enum, values in theirs.enum_types_by_name.items():
            assert _values(mine.enum_types_by_name[enum]) == _values(values), (name, enum)
    assert _values(ours.enum_types_by_name["Phase"]) == _values(real.enum_types_by_name["Phase"])


def test_the_pool_is_private():
    assert messages.NetParameter.DESCRIPTOR.file.pool is not descriptor_pool.Default()


def test_text_and_binary_agree():
    net = text_format.Parse(
        'name: "n" layer { name: "c" type: "Convolution" convolution_param { pad: 1 pad: 2 engine: CAFFE } }',
        messages.NetParameter(),
    )
    assert net.layer[0].convolution_param.engine == net.layer[0].convolution_param.CAFFE
    assert net.layer[0].convolution_param.bias_term  # the default
    assert messages.NetParameter.FromString(net.SerializeToString()) == net
    # Written out by hand: field 1 "n", field 100 with fields 1, 2 and 106 (pad is field 3, not packed).
    assert net.SerializeToString() == (
        b"\x0a\x01n\xa2\x06\x19\x0a\x01c\x12\x0bConvolution\xd2\x06\x06\x18\x01\x18\x02\x78\x01"
    )


def test_packed_floats_and_raw_blobs_are_the_same_bytes():
    blob = messages.BlobProto(data=[1.0, -2.5], shape={"dim": [2]})
    data = blob.SerializeToString()
    assert b"\x2a\x08\x00\x00\x80\x3f\x00\x00\x20\xc0" in data  # field 5, eight bytes, little-endian
    raw = messages.with_raw_blobs()["BlobProto"].FromString(data)
    assert list(raw.data) == [b"\x00\x00\x80\x3f\x00\x00\x20\xc0"]
    assert raw.SerializeToString() == data
