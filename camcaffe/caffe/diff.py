"""What differs between two nets, layer by layer."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from camcaffe.caffe import messages
from camcaffe.caffe.prototxt import net_to_text

Weights = Mapping[str, Sequence[np.ndarray]]


def net_differences(
    first: messages.NetParameter,
    second: messages.NetParameter,
    weights: tuple[Weights, Weights] = ({}, {}),
) -> list[str]:
    """The differences of two nets, one line each; nothing but formatting is passed over.

    Layers are matched by their names, in order. A setting that one net writes out and the other leaves at
    its default is a difference. Weights are equal to the last bit or different.

    Args:
        first: a V2 description; weights inside it are not looked at.
        second: the same.
        weights: of both, layer name -> blobs.

    Returns:
        Lines such as `layer 'conv1': convolution_param: num_output: 96 | 64`.
    """
    lines = list(_field_differences("net", first, second, skipped={"layer"}))
    names = [[layer.name for layer in net.layer] for net in (first, second)]
    matcher = difflib.SequenceMatcher(a=names[0], b=names[1], autojunk=False)
    for tag, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        if tag == "equal":
            for a, b in zip(first.layer[a_start:a_end], second.layer[b_start:b_end]):
                where = f"layer {a.name!r}"
                lines += _field_differences(where, a, b, skipped={"blobs"})
                lines += _blob_differences(where, *(blobs.get(a.name, ()) for blobs in weights))
        else:
            lines += [f"layer {layer.name!r}: only in the first" for layer in first.layer[a_start:a_end]]
            lines += [f"layer {layer.name!r}: only in the second" for layer in second.layer[b_start:b_end]]
    return lines


def _blob_differences(where: str, first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Iterator[str]:
    if len(first) != len(second):
        yield f"{where}: {len(first)} weight blobs | {len(second)}"
        return
    for index, (a, b) in enumerate(zip(first, second)):
        if a.shape != b.shape:
            yield f"{where}: weight blob {index}: shape {a.shape} | {b.shape}"
            continue
        differing = np.count_nonzero(a.view(np.uint32) != b.view(np.uint32))
        if differing:
            with np.errstate(invalid="ignore", over="ignore"):
                most = np.abs(a - b).max()
            yield f"{where}: weight blob {index}: {differing:,} of {a.size:,} values, by up to {most:.3g}"


def _field_differences(where: str, first, second, skipped: set[str] = frozenset()) -> Iterator[str]:
    fields = [{field.name: value for field, value in message.ListFields()} for message in (first, second)]
    for field in first.DESCRIPTOR.fields:
        if field.name in skipped or (field.name not in fields[0] and field.name not in fields[1]):
            continue
        a, b = (values.get(field.name) for values in fields)
        is_message, is_list = field.message_type is not None, hasattr(a if a is not None else b, "extend")
        if is_message and not is_list and a is not None and b is not None:
            yield from _field_differences(f"{where}: {field.name}", a, b)
            continue
        a, b = _shown(field, a), _shown(field, b)
        if a != b:
            yield f"{where}: {field.name}: {a} | {b}"


def _shown(field, value) -> str:
    if value is None:
        return "not set"
    if hasattr(value, "extend"):
        return "[" + ", ".join(_shown(field, entry) for entry in value) + "]"
    if field.message_type is not None:
        return "{" + " ".join(net_to_text(value).split()) + "}"
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    # Caffe's floats have single precision; more digits would be noise.
    return str(np.float32(value)) if isinstance(value, float) else repr(value)
