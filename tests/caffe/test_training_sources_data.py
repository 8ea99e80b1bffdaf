import numpy as np
import pytest
from data_layers import data_layers, encoded, pictures, raw, write_database

from camcaffe import CamcaffeError
from camcaffe.caffe import messages
from camcaffe.caffe.network import read_network
from camcaffe.caffe.training.sources import open_source
from camcaffe.caffe.training.sources.database import new_database

pytestmark = pytest.mark.lmdb

IMAGES = pictures(7, 9, 13)


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def source(
    database="database", batch_size=4, transform="", phase="TEST", seed=0, tops='top: "data" top: "label"'
):
    text = f"""layer {{ name: "data" type: "Data" {tops}
        data_param {{ source: "{database}" batch_size: {batch_size} backend: LMDB }}
        transform_param {{ {transform} }} }}"""
    return open_source(data_layers(text, phase)[0], phase, seed)


def write(datums=None, path="database"):
    write_database(path, datums or [raw(image.transpose(2, 0, 1), i) for i, image in enumerate(IMAGES)])


def test_round_and_round_from_any_batch():
    write()
    read = source()
    assert read.tops == ("data", "label")
    assert read.shapes == ((4, 3, 9, 13), (4,))
    for index in [0, 1, 2, 3, 1, 1000, 0]:
        numbers = (4 * index + np.arange(4)) % 7
        data, label = read.batch(index)
        np.testing.assert_array_equal(data, IMAGES[numbers].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(label, numbers)


def test_one_top():
    write()
    read = source(tops='top: "data"')
    assert read.shapes == ((4, 3, 9, 13),)
    assert len(read.batch(0)) == 1


def test_random_batches_depend_on_seed_and_number_alone():
    write()
    options = {"transform": "mirror: true crop_size: 5", "phase": "TRAIN"}
    first = [source(seed=3, **options).batch(index)[0] for index in range(6)]
    again = source(seed=3, **options)
    for index in [5, 0, 3, 4]:
        np.testing.assert_array_equal(again.batch(index)[0], first[index])
    assert not np.array_equal(source(seed=4, **options).batch(0)[0], first[0])
    # The same seven images in another epoch are cropped and mirrored anew.
    assert not np.array_equal(source(seed=3, batch_size=7, **options).batch(0)[0],
                              source(seed=3, batch_size=7, **options).batch(1)[0])  # fmt: skip


def test_two_sources_of_one_database():
    write()
    train, test = source(phase="TRAIN"), source()
    np.testing.assert_array_equal(train.batch(1)[0], test.batch(1)[0])
    np.testing.assert_array_equal(train.batch(2)[0], test.batch(2)[0])


def test_encoded_and_floats():
    write([encoded(IMAGES[0], 5), raw(IMAGES[1].transpose(2, 0, 1) / np.float32(3), -1)])
    data, label = source(batch_size=2).batch(0)
    np.testing.assert_array_equal(data[0], IMAGES[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(data[1], IMAGES[1].transpose(2, 0, 1) / np.float32(3))
    np.testing.assert_array_equal(label, [5, -1])


def test_more_datums_than_a_transaction_takes():
    write([messages.Datum(channels=1, height=1, width=1, data=b"a", label=i) for i in range(2100)])
    np.testing.assert_array_equal(source(batch_size=2100).batch(0)[1], np.arange(2100))


def test_a_database_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), new_database("database") as put:
        put("0", raw(IMAGES[0], 0))
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with (
        pytest.raises(CamcaffeError, match=r"^database: cannot be written \(.*MDB_BAD_VALSIZE"),
        new_database("database") as put,
    ):
        put("0" * 600, raw(IMAGES[0], 0))
    assert not list(tmp_path.iterdir())
    write()
    with pytest.raises(CamcaffeError, match=r"^database: cannot be made: file exists; expected a new folder"):
        write()


def test_refuses_leveldb():
    text = 'layer { name: "data" type: "Data" top: "data" data_param { source: "train_db" batch_size: 4 } }'
    found = r"^layer 'data': its data_param has the backend LEVELDB \(Caffe's default\), source 'train_db'"
    with pytest.raises(CamcaffeError, match=found + "; expected backend: LMDB.*camcaffe dataset --lmdb"):
        open_source(data_layers(text)[0], "TEST")


def test_refuses_what_is_no_database(tmp_path):
    with pytest.raises(CamcaffeError, match=r"^database: there is no LMDB; expected a folder with"):
        source()
    (tmp_path / "database").mkdir()
    with pytest.raises(CamcaffeError, match=r"^database: there is no LMDB"):
        source()
    for content in (b"", b"hello" * 5000, bytes(50000)):
        (tmp_path / "database" / "data.mdb").write_bytes(content)
        with pytest.raises(CamcaffeError, match=r"^database/data.mdb: not readable"):
            source()


@pytest.mark.parametrize("length", [5000, 8192, 12288, -4096, -1])
def test_refuses_a_truncated_database(tmp_path, length):
    write([raw(image, 0) for image in pictures(20, 40, 40)])
    path = tmp_path / "database" / "data.mdb"
    content = path.read_bytes()
    path.write_bytes(content[:length])
    expected = rf"^database/data.mdb: it is cut short after \d+ bytes; expected {len(content)} bytes"
    with pytest.raises(CamcaffeError, match=expected):
        source()


def test_refuses_a_damaged_database(tmp_path):
    write([raw(image, i) for i, image in enumerate(pictures(200, 5, 9))])
    path = tmp_path / "database" / "data.mdb"
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 + 10] ^= 0xFF  # the page's kind
    path.write_bytes(content)
    with pytest.raises(CamcaffeError, match=r"^database: a damaged LMDB \("):
        source().batch(0)


def test_refuses_an_empty_database():
    with new_database("database"):
        pass
    with pytest.raises(CamcaffeError, match=r"^database: the LMDB is empty"):
        source()


@pytest.mark.parametrize(
    ("datum", "message"),
    [
        (messages.Datum(label=3), "a datum of 0 values for 0 x 0 x 0"),
        (messages.Datum(channels=3, height=9, width=13, data=b"abc"), "a datum of 3 values for 3 x 9 x 13"),
        (messages.Datum(channels=-1, height=-1, width=3, data=b"abc"), "a datum of 3 values for -1 x -1 x 3"),
        (messages.Datum(encoded=True, data=b"no picture"), "not a picture that can be read"),
        (messages.Datum(encoded=True), "not a picture that can be read"),
        (encoded(IMAGES[0].astype(np.uint16) * 257, 0), "a picture of uint16 values; expected 8 bits"),
        (raw(IMAGES[0][:8].transpose(2, 0, 1), 1), "a picture of 3 channels x 8 rows x 13 columns; expected "
         "3 channels x 9 rows x 13 columns as the first picture, or a crop_size"),
    ],
    ids=["none", "short", "negative", "garbage", "empty", "deep", "other size"],
)  # fmt: skip
def test_refuses_a_datum(datum, message):
    write([raw(IMAGES[0].transpose(2, 0, 1), 0), datum])
    with pytest.raises(CamcaffeError, match=f"^database, key '00000001': {message}"):
        source().batch(0)


def test_refuses_what_is_no_datum():
    import lmdb

    with lmdb.open("database") as environment, environment.begin(write=True) as transaction:
        transaction.put(b"a\xff", b"\xff\xff\xff")
    with pytest.raises(CamcaffeError, match=r"^database, key 'a\\\\xff': no datum"):
        source()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "^layer 'data': batch_size is 0"),
        ({"tops": ""}, "^layer 'data': 0 tops; expected from 1 to 2 for Data"),
        ({"transform": "crop_size: 10"}, "^database, key '00000000': 9 x 13 pixels, and layer 'data' crops"),
        ({"transform": "force_color: true force_gray: true"}, "^layer 'data': it has both force_color and"),
    ],
)
def test_refuses_settings(options, message):
    write()
    with pytest.raises(CamcaffeError, match=message):
        source(**options)


def test_refuses_other_layers():
    layer = data_layers('layer { name: "data" type: "MemoryData" top: "data" top: "label" }')[0]
    with pytest.raises(
        CamcaffeError, match=r"^layer 'data': it is of type MemoryData; expected Data, ImageData"
    ):
        open_source(layer, "TEST")


def test_settings_of_old_prototxts(tmp_path):
    write()
    text = """layers { name: "data" type: DATA top: "data" top: "label"
        data_param { source: "database" batch_size: 4 backend: LMDB scale: 0.5 crop_size: 5 } }"""
    (tmp_path / "old.prototxt").write_text(text)
    data, _ = open_source(read_network("old.prototxt").layers[0], "TEST").batch(0)
    np.testing.assert_array_equal(data, IMAGES[:4, 2:7, 4:9].transpose(0, 3, 1, 2) * 0.5)
