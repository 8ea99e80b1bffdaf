"""What the sources give, to the last bit what BVLC Caffe's data layers give."""

import cv2
import h5py
import numpy as np
import pytest
from data_layers import data_layers, encoded, pictures, raw, write_database, write_mean
from PIL import Image

from camcaffe.caffe.training.sources import open_source

pytestmark = [pytest.mark.caffe_root, pytest.mark.lmdb]

BATCHES = 5

# Prints nothing; writes batches.npz with the blobs of each of so many forward passes.
SCRIPT = """
import sys, caffe, numpy
caffe.set_mode_cpu()
net = caffe.Net("net.prototxt", getattr(caffe, sys.argv[1]))
batches = {}
for index in range(int(sys.argv[2])):
    net.forward()
    for name, blob in net.blobs.items():
        batches["%d %s" % (index, name)] = blob.data.copy()
numpy.savez("batches.npz", **batches)
"""


def assert_as_caffe(real_caffe, monkeypatch, text, phase):
    (real_caffe.folder / "net.prototxt").write_text(text)
    real_caffe.run("python3", "-c", SCRIPT, phase, BATCHES)
    monkeypatch.chdir(real_caffe.folder)
    with np.load(real_caffe.folder / "batches.npz") as theirs:
        layers = data_layers(text, phase)
        assert len(theirs.files) == BATCHES * sum(len(layer.tops) for layer in layers)
        for layer in layers:
            source = open_source(layer, phase)
            for index in range(BATCHES):
                batch = source.batch(index)
                assert source.tops == layer.tops
                for top, shape, values in zip(layer.tops, source.shapes, batch):
                    assert values.dtype == np.float32
                    assert values.shape == shape
                    np.testing.assert_array_equal(values, theirs[f"{index} {top}"], err_msg=f"{top} {index}")


def data(name, source, batch_size, transform="", extra=""):
    return f"""
    layer {{ name: "{name}" type: "Data" top: "{name}" top: "{name}_label"
             data_param {{ source: "{source}" batch_size: {batch_size} backend: LMDB {extra} }}
             transform_param {{ {transform} }} }}"""


@pytest.mark.parametrize(("phase", "crop"), [("TEST", 11), ("TRAIN", 0)])
def test_data(real_caffe, monkeypatch, phase, crop):
    folder = real_caffe.folder
    images = pictures(7)
    write_database(folder / "raw", [raw(image.transpose(2, 0, 1), i - 1) for i, image in enumerate(images)])
    write_database(
        folder / "floats",
        [raw(image.transpose(2, 0, 1).astype(np.float32) / 7, 2**24 + i) for i, image in enumerate(images)],
    )
    write_database(folder / "encoded", [encoded(image, i) for i, image in enumerate(images)])
    write_database(folder / "gray", [encoded(image[:, :, 0], i) for i, image in enumerate(images)])
    write_database(folder / "alpha", [encoded(image, i) for i, image in enumerate(pictures(3, channels=4))])
    write_mean(folder / "mean.binaryproto", images.mean(0, dtype=np.float32).transpose(2, 0, 1))
    write_mean(folder / "gray_mean.binaryproto", images[..., :1].mean(0, dtype=np.float32).transpose(2, 0, 1))
    write_mean(folder / "four.binaryproto", np.full((4, 20, 26), 0.1, np.float32))
    crop = f"crop_size: {crop}"
    colour = "mean_value: 104.3 mean_value: 116.7 mean_value: 122.9"
    net = (
        data("raw", "raw", 4, f'{crop} mean_file: "mean.binaryproto" scale: 0.017')
        + data("plain", "raw", 1, "", "rand_skip: 5")
        + data("values", "raw", 3, f"{crop} {colour} scale: 0.00390625")
        + data("value", "raw", 7, f"{crop} mean_value: 99.9 force_color: true")
        + data("floats", "floats", 5, f'{crop} mean_file: "mean.binaryproto" scale: 3.3')
        + data("encoded", "encoded", 4, f'{crop} mean_file: "mean.binaryproto" scale: 0.1')
        + data("force_gray", "encoded", 4, f'{crop} mean_file: "gray_mean.binaryproto" force_gray: true')
        + data("native_gray", "gray", 4, f"{crop} mean_value: 7")
        + data("force_color", "gray", 4, f"{crop} force_color: true", "force_encoded_color: true")
        + data("alpha", "alpha", 4, f'{crop} mean_file: "four.binaryproto"')
    )
    assert_as_caffe(real_caffe, monkeypatch, net, phase)


@pytest.mark.parametrize(("phase", "crop"), [("TEST", 12), ("TRAIN", 0)])
def test_image_data(real_caffe, monkeypatch, phase, crop):
    folder = real_caffe.folder
    (folder / "images").mkdir()
    lines = []
    for i, image in enumerate(pictures(3, 30, 21)):
        name = f"scene {i}.{('png', 'jpg', 'bmp')[i]}"
        cv2.imwrite(str(folder / "images" / name), cv2.GaussianBlur(image, (0, 0), 2))
        lines.append(f"{name} {i - 1}\n")
    whole = (folder / "images" / "scene 1.jpg").read_bytes()
    (folder / "images" / "cut.jpg").write_bytes(whole[:-50])
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pictures(1, 21, 30)[0]).save(folder / "images" / "turned.jpg", exif=turned.tobytes())
    lines += ["cut.jpg 7\n", "turned.jpg 8\n"]
    (folder / "list.txt").write_text("".join(lines))
    (folder / "with_folder.txt").write_text("".join(f"images/{line}" for line in lines).rstrip("\n"))

    def image_data(name, source, extra, transform=f"crop_size: {crop} scale: 0.3"):
        return f"""
        layer {{ name: "{name}" type: "ImageData" top: "{name}" top: "{name}_label"
                 image_data_param {{ source: "{source}" {extra} }} transform_param {{ {transform} }} }}"""

    root = 'root_folder: "images/"'
    net = (
        image_data("plain", "with_folder.txt", "batch_size: 4")
        + image_data("smaller", "list.txt", f"{root} batch_size: 2 new_height: 16 new_width: 13")
        + image_data("larger", "list.txt", f"{root} batch_size: 2 new_height: 37 new_width: 64", "scale: 3.3")
        + image_data("gray", "list.txt", f"{root} batch_size: 2 new_height: 25 new_width: 23 is_color: false")
    )
    assert_as_caffe(real_caffe, monkeypatch, net, phase)


def test_hdf5_data(real_caffe, monkeypatch):
    rng = np.random.default_rng(0)
    names = []
    for i, (rows, dtype) in enumerate([(5, np.float64), (3, np.float32), (4, np.int64), (2, np.uint8)]):
        names.append(f"rows{i}.h5")
        with h5py.File(real_caffe.folder / names[-1], "w") as file:
            file["values"] = (rng.normal(100, 20, (rows, 2, 3, 4))).astype(dtype)
            file["number"] = np.arange(rows) + 10 * i
            file["column"] = rng.normal(size=(rows, 1))
    (real_caffe.folder / "files.txt").write_text("\n".join(names))
    (real_caffe.folder / "one.txt").write_text(f"  {names[1]}  ")
    net = """
    layer { name: "many" type: "HDF5Data" top: "values" top: "number" top: "column"
            hdf5_data_param { source: "files.txt" batch_size: 6 } }"""
    assert_as_caffe(real_caffe, monkeypatch, net, "TRAIN")
    one = net.replace("files.txt", "one.txt").replace('top: "column"', "")
    assert_as_caffe(real_caffe, monkeypatch, one, "TEST")


@pytest.mark.parametrize(
    "flags",
    [(), ("-resize_height", 24, "-resize_width", 33), ("-resize_height", 20, "-resize_width", 20, "-gray"),
     ("-encoded",), ("-encode_type", "png", "-resize_height", 31, "-resize_width", 30)],
    ids=lambda flags: " ".join(map(str, flags)) or "plain",
)  # fmt: skip
def test_databases_of_convert_imageset(real_caffe, monkeypatch, flags):
    folder = real_caffe.folder
    lines = []
    for i, image in enumerate(pictures(5, 28, 35)):
        cv2.imwrite(str(folder / f"{i}.jpg"), cv2.GaussianBlur(image, (0, 0), 2))
        lines.append(f"{i}.jpg {4 - i}\n")
    (folder / "list.txt").write_text("".join(lines))
    real_caffe.run("convert_imageset", *flags, "./", "list.txt", "database")
    assert_as_caffe(real_caffe, monkeypatch, data("data", "database", 4, "mean_value: 9.5"), "TEST")


def test_real_photographs(real_caffe, monkeypatch, reference):
    folder = real_caffe.folder
    photographs = sorted((reference / "mini_ilsvrc" / "images").glob("*.JPEG"))[:40]
    lines = []
    for i, path in enumerate(photographs):
        (folder / path.name).write_bytes(path.read_bytes())
        lines.append(f"{path.name} {i}\n")
    (folder / "list.txt").write_text("".join(lines))
    net = """
    layer { name: "photographs" type: "ImageData" top: "data" top: "label"
            image_data_param { source: "list.txt" batch_size: 8 new_height: 240 new_width: 320 }
            transform_param { crop_size: 224 mean_value: 104 mean_value: 117 mean_value: 123 } }"""
    assert_as_caffe(real_caffe, monkeypatch, net, "TEST")
