"""Data layers and their files for tests."""

import cv2
import numpy as np
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.mean import write_binaryproto
from camcaffe.caffe.network import network_of
from camcaffe.caffe.training.sources.database import new_database

RNG = np.random.default_rng(7)


def data_layers(text, phase="TEST"):
    """The layers of a prototxt's text."""
    net = messages.NetParameter()
    text_format.Parse(text, net)
    return network_of(net, "net.prototxt", phase).layers


def pictures(count, height=20, width=26, channels=3):
    """(height, width, channels) uint8, as OpenCV has pictures."""
    return RNG.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def raw(pixels, label):
    """A datum of (C, H, W) uint8 or float values."""
    datum = messages.Datum(
        channels=pixels.shape[0], height=pixels.shape[1], width=pixels.shape[2], label=label
    )
    if pixels.dtype == np.uint8:
        datum.data = pixels.tobytes()
    else:
        datum.float_data.extend(pixels.ravel().tolist())
    return datum


def encoded(picture, label, suffix=".png"):
    """A datum that holds a picture file."""
    return messages.Datum(label=label, encoded=True, data=cv2.imencode(suffix, picture)[1].tobytes())


def write_database(path, datums):
    with new_database(path) as put:
        for number, datum in enumerate(datums):
            put(f"{number:08d}", datum)


def write_mean(path, mean):
    """A (C, H, W) mean as compute_image_mean writes it."""
    write_binaryproto(path, mean[None])
