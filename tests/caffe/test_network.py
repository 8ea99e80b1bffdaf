import importlib

import pytest
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.network import insert_splits, network_of, read_network
from camcaffe.errors import CamcaffeError

INPUT = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 } } } '
)


def _network(text, **options):
    return network_of(text_format.Parse(text, messages.NetParameter()), "net.prototxt", **options)


def _relu(bottom, top, rules="", name=None):
    return f'layer {{ name: "{name or top}" type: "ReLU" bottom: "{bottom}" top: "{top}" {rules} }} '


def _names(network):
    return [layer.name for layer in network.layers]


def test_inputs_layers_outputs():
    network = _network(
        'name: "n" force_backward: true '
        + INPUT
        + _relu("data", "z")
        + _relu("z", "z", name="again")
        + _relu("data", "b")
    )
    assert network.name == "n" and network.force_backward and network.source == "net.prototxt"
    assert network.inputs == {"data": (1, 3, 4, 5)}
    assert _names(network) == ["z", "again", "b"]
    assert network.layers[0].bottoms == ("data",) and network.layers[0].tops == ("z",)
    assert network.outputs == ("b", "z")  # pycaffe sorts them


def test_one_shape_for_several_inputs_and_inputs_behind_layers():
    network = _network(
        INPUT
        + _relu("data", "a")
        + 'layer { name: "more" type: "Input" top: "x" top: "y" input_param { shape { dim: 7 } } }'
    )
    assert list(network.inputs.items()) == [("data", (1, 3, 4, 5)), ("x", (7,)), ("y", (7,))]
    assert network.outputs == ("a", "x", "y")


@pytest.mark.parametrize(
    ("rules", "state", "kept"),
    [
        ("", {}, True),
        ("include { phase: TEST }", {}, True),
        ("include { phase: TRAIN }", {}, False),
        ("include { phase: TRAIN }", {"phase": "TRAIN"}, True),
        ("exclude { phase: TEST }", {}, False),
        ("exclude { phase: TRAIN }", {}, True),
        ("include { phase: TRAIN } include { phase: TEST }", {}, True),
        ("exclude { phase: TRAIN } exclude { stage: 'a' }", {"stages": ["a"]}, False),
        ("include { min_level: 1 }", {}, False),
        ("include { min_level: 1 }", {"level": 1}, True),
        ("include { max_level: 1 }", {"level": 2}, False),
        ("include { min_level: 1 max_level: 3 }", {"level": 3}, True),
        ("include { stage: 'a' }", {}, False),
        ("include { stage: 'a' }", {"stages": ["b", "a"]}, True),
        ("include { stage: 'a' stage: 'b' }", {"stages": ["a"]}, False),
        ("include { not_stage: 'a' }", {}, True),
        ("include { not_stage: 'a' }", {"stages": ["a"]}, False),
        ("include { phase: TEST not_stage: 'a' } include { phase: TRAIN }", {"stages": ["a"]}, False),
        ("include { }", {}, True),
        ("exclude { }", {}, False),
    ],
)
def test_rules(rules, state, kept):
    network = _network(INPUT + _relu("data", "a", rules), **state)
    assert (_names(network) == ["a"]) is kept


def test_stages_of_the_file_count_and_its_phase_and_level_do_not():
    text = "state { phase: TRAIN level: 5 stage: 'a' } " + INPUT
    network = _network(text + _relu("data", "x", "include { phase: TEST max_level: 0 stage: 'a' }"))
    assert _names(network) == ["x"]


def test_train_val_nets_of_the_original(reference):
    path = reference / "cam_repo" / "train_val_googlenetCAM.prototxt"
    test, train = read_network(path), read_network(path, "TRAIN")
    assert [layer.message.data_param.batch_size for layer in (test.layers[0], train.layers[0])] == [50, 64]
    assert set(_names(test)) - set(_names(train)) == {"loss3/top-1", "loss3/top-5"}
    assert test.outputs == ("loss3/loss3", "loss3/top-1", "loss3/top-5") and train.outputs == ("loss3/loss3",)


def test_weights_in_the_description_are_left_out():
    network = _network(INPUT + _relu("data", "a", "blobs { data: 1 }"))
    assert not network.layers[0].message.blobs


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (INPUT + _relu("dat", "a"), "unknown bottom blob 'dat' of layer 'a'"),
        (INPUT + _relu("b", "a") + _relu("a", "b"), "unknown bottom blob 'b' of layer 'a'"),  # a cycle
        (INPUT + _relu("a", "a"), "unknown bottom blob 'a' of layer 'a'"),
        (_relu("data", "a"), "unknown bottom blob 'data'"),
        (
            INPUT + _relu("data", "a") + _relu("data", "a", name="b"),
            "top blob 'a' of layer 'b' is made a second",
        ),
        (INPUT + INPUT, "top blob 'data' of layer 'data' is made a second"),
        # One reader would get the blob before, the other after it is overwritten: Caffe refuses.
        (
            INPUT + _relu("data", "a") + _relu("data", "data", name="b"),
            "top blob 'data' of layer 'b' is made a sec",
        ),
        (INPUT + _relu("data", "a", "include { } exclude { }"), "layer 'a' has both include and exclude"),
        ('layer { name: "i" type: "Input" top: "x" }', "layer 'i' of type Input has 1 tops and 0 shapes"),
        ('name: "n"', "no layer is left in phase TEST"),
    ],
)
def test_errors(text, match):
    with pytest.raises(CamcaffeError, match=match) as error:
        _network(text)
    assert str(error.value).startswith("net.prototxt: ")


def test_unknown_phase():
    with pytest.raises(CamcaffeError, match="phase: 'test'; expected TRAIN or TEST"):
        _network(INPUT, phase="test")


SPLITS = (
    INPUT
    + _relu("data", "a")
    + _relu("a", "a", name="in place")
    + _relu("a", "b")
    + 'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" bottom: "a" top: "sum" } '
    + 'layer { name: "loss" type: "EuclideanLoss" bottom: "sum" bottom: "data" top: "loss" loss_weight: 2 } '
    + 'layer { name: "half" type: "Power" bottom: "loss" top: "half" }'
)


def test_splits():
    assert insert_splits(_network(SPLITS)) == [
        ("data", (), ("data",)),
        ("data_data_0_split", ("data",), ("data_data_0_split_0", "data_data_0_split_1")),
        ("a", ("data_data_0_split_0",), ("a",)),
        ("in place", ("a",), ("a",)),
        ("a_in place_0_split", ("a",), tuple(f"a_in place_0_split_{i}" for i in range(3))),
        ("b", ("a_in place_0_split_0",), ("b",)),
        ("sum", ("a_in place_0_split_1", "b", "a_in place_0_split_2"), ("sum",)),
        ("loss", ("sum", "data_data_0_split_1"), ("loss",)),
        ("loss_loss_0_split", ("loss",), ("loss_loss_0_split_0", "loss_loss_0_split_1")),
        ("half", ("loss_loss_0_split_1",), ("half",)),
    ]


def _check_against_caffe(pycaffe, path):
    network, net = read_network(path), pycaffe.Net(str(path), 1)
    layers = insert_splits(network)
    assert [name for name, _, _ in layers] == list(net._layer_names)
    assert {name: bottoms for name, bottoms, _ in layers} == {
        k: tuple(v) for k, v in net.bottom_names.items()
    }
    assert {name: tops for name, _, tops in layers} == {k: tuple(v) for k, v in net.top_names.items()}
    assert list(dict.fromkeys(top for _, _, tops in layers for top in tops)) == list(net.blobs)
    assert list(network.inputs) == list(net.inputs)
    # Where a loss is split, the copy that the loss itself takes is one of pycaffe's outputs too.
    assert list(network.outputs) == [name for name in net.outputs if "_split_" not in name]


@pytest.mark.pycaffe
def test_splits_as_caffe_makes_them(tmp_path):
    pycaffe = importlib.import_module("caffe.pycaffe")
    path = tmp_path / "net.prototxt"
    path.write_text(SPLITS)
    _check_against_caffe(pycaffe, path)


@pytest.mark.pycaffe
def test_original_nets_as_caffe_runs_them(reference):
    pycaffe = importlib.import_module("caffe.pycaffe")
    for path in [*reference.glob("cam_repo/deploy*.prototxt"), *reference.glob("caffe/**/*.prototxt")]:
        _check_against_caffe(pycaffe, path)
