import subprocess
import sys

import numpy as np
import pytest

NET = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 6 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" include { phase: TEST } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2 } }
"""
OLD = """
name: "tiny" input: "data" input_dim: 4 input_dim: 3 input_dim: 8 input_dim: 6
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" include { phase: TEST } }
layers { name: "fc" type: INNER_PRODUCT bottom: "conv" top: "fc" inner_product_param { num_output: 2 } }
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return path


@pytest.fixture
def weights(net):
    from camcaffe.caffe.caffemodel import write_caffemodel
    from camcaffe.caffe.network import read_network
    from camcaffe.caffe.shapes import infer_shapes
    from camcaffe.caffe.weights import fill_weights

    network = read_network(net)
    path = net.with_name("net.caffemodel")
    write_caffemodel(path, network, fill_weights(network, infer_shapes(network)))
    return path


def test_show(camcaffe, net):
    result = camcaffe("net", "show", net)
    assert result.exit_code == 0
    assert result.output == (
        "layer  type          output   weights     parameters  multiply-adds\n"
        "data   (input)       4x3x8x6\n"
        "conv   Convolution   4x5x6x4  5x3x3x3, 5         140         12,960\n"
        "relu   ReLU          4x5x6x4\n"
        "fc     InnerProduct  4x2      2x120, 2           242            960\n"
        "\n"
        "tiny: 3 layers, 382 parameters, 13,920 multiply-adds (3,480 for each of 4)\n"
    )


def test_show_with_other_inputs_and_phase(camcaffe, net):
    result = camcaffe("net", "show", net, "--input", "data=1,3,10,6", "--phase", "TRAIN")
    assert "conv   Convolution   1x5x8x4" in result.output and "relu" not in result.output
    assert result.output.endswith("tiny: 2 layers, 462 parameters, 4,640 multiply-adds\n")


def test_show_with_weights(camcaffe, net, weights):
    result = camcaffe("net", "show", net, weights)
    assert result.exit_code == 0
    assert result.output.endswith(f"{weights}: 382 parameters fit\n")
    net.write_text(NET + 'layer { name: "scale" type: "Scale" bottom: "fc" top: "scale" }')
    result = camcaffe("net", "show", net, weights)
    assert result.output.endswith(f"{weights}: nothing for scale; Caffe would fill them\n")


def test_show_the_original(camcaffe, reference):
    result = camcaffe("net", "show", reference / "cam_repo" / "deploy_vgg16CAM.prototxt")
    assert "CAM_conv     Convolution   10x1024x14x14" in result.output
    assert result.output.endswith(
        "36 layers, 18,100,008 parameters, 158,100,766,720 multiply-adds (15,810,076,672 for each of 10)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["show", "none"],
            "Error: none: no such file or directory; expected a prototxt that describes a net",
        ),
        (["show", "{net}", "--input", "x=1"], "Error: {net}: there is no input 'x'; expected data"),
        (["show", "{net}", "{net}"], "Error: {net}: its"),
        (
            ["upgrade", "none", "out"],
            "Error: none: no such file or directory; expected a prototxt or a binary",
        ),
        (["upgrade", "{net}", "no/folder"], "Error: no/folder: cannot be written: no such file or directory"),
        (["diff", "{net}", "none"], "Error: none: no such file or directory"),
    ],
)
def test_errors_are_one_line(camcaffe, net, monkeypatch, tmp_path, arguments, line):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = camcaffe("net", *(argument.format(net=net) for argument in arguments))
    assert result.exit_code == 2
    assert result.output.startswith(line.format(net=net)) and result.output.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("value", ["data", "data=", "=1,2", "data=1,x", "data=-1,2"])
def test_input_option(camcaffe, net, value):
    result = camcaffe("net", "show", net, "--input", value)
    assert result.exit_code == 2 and "is not like data=10,3,224,224" in result.output


def test_upgrade_text(camcaffe, net, tmp_path):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text(OLD)
    assert camcaffe("net", "upgrade", old, new).output == f"{new}: 4 layers\n"
    assert 'type: "InnerProduct"' in new.read_text() and "layers" not in new.read_text()
    assert camcaffe("net", "diff", old, new).output == "no difference\n"


def test_upgrade_weights(camcaffe, weights, tmp_path):
    new = tmp_path / "new.caffemodel"
    assert camcaffe("net", "upgrade", weights, new).exit_code == 0
    assert new.read_bytes() == weights.read_bytes()


def test_diff_of_versions(camcaffe, net, tmp_path):
    old = tmp_path / "old.prototxt"
    old.write_text(OLD)
    net.write_text(NET.replace('name: "data" type', 'name: "input" type'))
    result = camcaffe("net", "diff", old, net)
    assert (result.exit_code, result.output) == (0, "no difference\n")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"tiny"', '"small"', "net: name: 'tiny' | 'small'"),
        ("num_output: 5", "num_output: 7", "layer 'conv': convolution_param: num_output: 5 | 7"),
        # Caffe's default, but the file says it.
        (
            "kernel_size: 3",
            "kernel_size: 3 stride: 1",
            "layer 'conv': convolution_param: stride: not set | [1]",
        ),
        ("kernel_size: 3", "kernel_size: 3 engine: CAFFE", "convolution_param: engine: not set | CAFFE"),
        ('top: "conv"\n', 'top: "c"\n', "layer 'conv': top: ['conv'] | ['c']"),
        ("phase: TEST", "phase: TRAIN", "layer 'relu': include: [{phase: TEST}] | [{phase: TRAIN}]"),
        ('type: "ReLU"', 'type: "ReLU" loss_weight: 0.1', "layer 'relu': loss_weight: not set | [0.1]"),
        ('"fc" type', '"fc2" type', "layer 'fc': only in the first\nlayer 'fc2': only in the second"),
        ('name: "tiny"', 'name: "tiny" force_backward: true', "net: force_backward: not set | True"),
    ],
)
def test_differences(camcaffe, net, tmp_path, old, new, line):
    other = tmp_path / "other.prototxt"
    assert old in NET
    other.write_text(NET.replace(old, new))
    result = camcaffe("net", "diff", net, other)
    assert result.exit_code == 1
    assert result.output.rstrip("\n").endswith(line)


def test_layers_in_another_order_differ(camcaffe, net, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    layers = [f'layer {{ name: "{name}" type: "Silence" bottom: "data" }}\n' for name in "xy"]
    first.write_text(NET + layers[0] + layers[1])
    second.write_text(NET + layers[1] + layers[0])
    assert camcaffe("net", "diff", first, second).exit_code == 1


def test_differences_of_weights(camcaffe, net, weights, tmp_path):
    from camcaffe.caffe.caffemodel import read_caffemodel, write_caffemodel
    from camcaffe.caffe.network import read_network

    other, network = tmp_path / "other.caffemodel", read_network(net)
    changed = read_caffemodel(weights)
    write_caffemodel(other, network, changed)
    assert camcaffe("net", "diff", weights, other).output == "no difference\n"
    changed["fc"][0][1, 7] += 0.5
    changed["fc"][1][0] = -0.0  # equal to 0 and yet another bit
    changed["conv"][1] = np.zeros(6, np.float32)
    write_caffemodel(other, network, changed)
    result = camcaffe("net", "diff", weights, other)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "layer 'conv': weight blob 1: shape (5,) | (6,)",
        "layer 'fc': weight blob 0: 1 of 240 values, by up to 0.5",
        "layer 'fc': weight blob 1: 1 of 2 values, by up to 0",
    ]
    del changed["fc"]
    write_caffemodel(other, network, changed)
    assert "layer 'fc': 2 weight blobs | 0" in camcaffe("net", "diff", weights, other).output


def test_the_two_alexnets_of_the_original(camcaffe, reference):
    folder = reference / "cam_repo"
    result = camcaffe(
        "net",
        "diff",
        folder / "deploy_alexnetplusCAM_imagenet.prototxt",
        folder / "deploy_alexnetplusCAM_places205.prototxt",
    )
    assert result.output.splitlines() == [
        "net: name: 'imagenetCNN_alexnetdeep' | 'placesCNNobjectdiscoveryAverageSumDeepNoDropout'",
        "layer 'drop8': only in the first",
        "layer 'fc9': inner_product_param: num_output: 1000 | 205",
    ]


def test_help_loads_neither_protobuf_nor_numpy():
    code = (
        "import sys; from camcaffe.cli import main\n"
        "try: main(['net', '--help'])\n"
        "finally: assert not {'numpy', 'google.protobuf'} & set(sys.modules), 'slow'"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "show" in result.stdout and "Compare two nets layer by layer." in result.stdout
