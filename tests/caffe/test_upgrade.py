import random
import shutil
import subprocess

import pytest
from google.protobuf import text_format

from camcaffe.caffe import messages
from camcaffe.caffe.caffemodel import read_caffemodel, read_net
from camcaffe.caffe.prototxt import net_to_text, read_prototxt, read_solver
from camcaffe.errors import CamcaffeError

V0 = """
name: "small" input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 7 force_backward: true
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "padded" }
layers {
  layer {
    name: "conv1" type: "conv" num_output: 4 kernelsize: 5 stride: 2 group: 1 biasterm: false
    weight_filler { type: "gaussian" std: 0.01 } blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0.
  }
  bottom: "padded" top: "conv1"
}
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 3 stride: 2 } bottom: "conv1" top: "pool1" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 } bottom: "pool1" top: "norm1" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "norm1" top: "norm1" }
layers { layer { name: "cat" type: "concat" concat_dim: 1 } bottom: "norm1" bottom: "pool1" top: "cat" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 } bottom: "cat" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""

V1 = """
name: "small" input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 7 force_backward: true
layers {
  name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  weight_decay: 0
  convolution_param {
    num_output: 4 pad: 2 kernel_size: 5 stride: 2 group: 1 bias_term: false
    weight_filler { type: "gaussian" std: 0.01 }
  }
}
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers {
  name: "pool1" type: POOLING bottom: "conv1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 }
}
layers {
  name: "norm1" type: LRN bottom: "pool1" top: "norm1" lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 }
}
layers { name: "drop" type: DROPOUT bottom: "norm1" top: "norm1" dropout_param { dropout_ratio: 0.3 } }
layers {
  name: "cat" type: CONCAT bottom: "norm1" bottom: "pool1" top: "cat" concat_param { concat_dim: 1 }
}
layers { name: "fc" type: INNER_PRODUCT bottom: "cat" top: "fc" inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }
"""

V2 = """
name: "small" force_backward: true
layer {
  name: "input" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 7 } }
}
layer {
  name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param {
    num_output: 4 pad: 2 kernel_size: 5 stride: 2 group: 1 bias_term: false
    weight_filler { type: "gaussian" std: 0.01 }
  }
}
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer {
  name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 }
}
layer {
  name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 }
}
layer { name: "drop" type: "Dropout" bottom: "norm1" top: "norm1" dropout_param { dropout_ratio: 0.3 } }
layer {
  name: "cat" type: "Concat" bottom: "norm1" bottom: "pool1" top: "cat" concat_param { concat_dim: 1 }
}
layer { name: "fc" type: "InnerProduct" bottom: "cat" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""

# Odd but legal files, each a rule of the upgrade that the nets above do not reach.
ODDITIES = {
    "no layers": 'name: "n" debug_info: true state { phase: TRAIN stage: "a" }',
    "input_shape": """
        input: "a" input_shape { dim: 2 dim: 5 } input: "b" input_shape { dim: 1 } layer { name: "x" }""",
    "inputs without shapes": 'input: "data" layer { name: "r" type: "ReLU" bottom: "data" top: "r" }',
    "two inputs, one net": """
        input: "a" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4
        input: "b" input_dim: 5 input_dim: 6 input_dim: 7 input_dim: 8
        layers { name: "s" type: SILENCE bottom: "a" bottom: "b" }""",
    "data transformation": """
        layers { name: "d" type: DATA top: "x"
          data_param { source: "s" scale: 0.5 crop_size: 7 mirror: true } }
        layers { name: "e" type: IMAGE_DATA top: "y" image_data_param { source: "t" mean_file: "m" } }
        layers { name: "f" type: WINDOW_DATA top: "z" transform_param { crop_size: 3 } }
        layers { name: "g" type: RELU bottom: "x" top: "x" }""",
    "data without transformation": 'layers { name: "d" type: DATA top: "x" data_param { source: "s" } }',
    "V1 sharing and rules": """
        layers {
          name: "c" type: CONVOLUTION param: "w" param: "b" blob_share_mode: PERMISSIVE blobs_lr: 1
          weight_decay: 1 weight_decay: 2 weight_decay: 3 loss_weight: 0.5
          include { phase: TEST min_level: 1 }
          exclude { stage: "x" not_stage: "y" } blobs { num: 1 data: 3 }
        }""",
    "V1 without a type": 'layers { name: "c" bottom: "a" top: "b" }',
    "old batch norm": """
        layer { name: "b" type: "BatchNorm" param { lr_mult: 1 } param { decay_mult: 2 name: "w" } param { } }
        layer { name: "c" type: "BatchNorm" param { lr_mult: 1 } }
        layer { name: "d" type: "Scale" param { lr_mult: 1 } param { } param { } }""",
    "V0 data": """
        layers { layer {
          name: "d" type: "data" source: "s" scale: 0.5 meanfile: "m" batchsize: 4 cropsize: 5 mirror: true
          rand_skip: 6 } top: "data" top: "label" }
        layers { layer { name: "i" type: "images" source: "s" batchsize: 4 shuffle_images: true new_height: 3
          new_width: 2 rand_skip: 1 } top: "a" }
        layers { layer { name: "w" type: "window_data" source: "s" batchsize: 4 det_fg_threshold: 0.1
          det_bg_threshold: 0.2 det_fg_fraction: 0.3 det_context_pad: 4 det_crop_mode: "square" } top: "b" }
        layers { layer { name: "h" type: "hdf5_data" source: "s" batchsize: 4 scale: 2
          shuffle_images: true } top: "c" }
        layers { layer { name: "o" type: "hdf5_output" hdf5_output_param { file_name: "f" } } bottom: "c" }
        layers { layer { name: "l" type: "infogain_loss" source: "s" } bottom: "a" bottom: "b" top: "l" }""",
    "V0 settings of other types": """
        layers { layer { name: "r" type: "relu" num_output: 3 kernelsize: 2 pad: 1 k: 3 new_num: 2 }
          top: "a" }
        layers { layer { name: "n" type: "lrn" local_size: 3 k: 5 source: "x" pool: MAX } top: "b" }
        layers { layer { name: "o" type: "tanh" hdf5_output_param { file_name: "f" } } top: "c" }""",
    "V0 beside V1": """
        input_shape { dim: 3 } state { level: 1 }
        layers { layer { name: "r" type: "relu" } top: "a" }
        layers { name: "lost" type: TANH bottom: "a" top: "b" }""",
    "V0 padding before a pool": """
        input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 7
        layers { layer { name: "p" type: "padding" pad: 1 } bottom: "data" top: "p" }
        layers { layer { name: "q" type: "pool" kernelsize: 3 } bottom: "p" top: "q" }
        layers { layer { name: "unread" type: "padding" pad: 1 } bottom: "q" top: "r" }""",
}


def _upgraded(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return read_prototxt(path)


@pytest.mark.parametrize("text", [V0, V1, V2], ids=["V0", "V1", "V2"])
def test_every_version_becomes_v2(tmp_path, text):
    expected = text_format.Parse(V2, messages.NetParameter())
    assert net_to_text(_upgraded(tmp_path, text)) == net_to_text(expected)


def test_upgrading_twice_changes_nothing(tmp_path, reference):
    for path in [*reference.glob("cam_repo/*deploy*.prototxt"), *reference.glob("cam_repo/train_val*")]:
        once = read_prototxt(path)
        assert _upgraded(tmp_path, net_to_text(once)) == once


def test_data_settings_move_to_transform_param(tmp_path):
    net = _upgraded(tmp_path, ODDITIES["data transformation"])
    assert net.layer[0].transform_param == net.layer[0].transform_param.__class__(
        scale=0.5, crop_size=7, mirror=True
    )
    assert not net.layer[0].data_param.HasField("scale") and net.layer[0].data_param.source == "s"
    assert net.layer[1].transform_param.mean_file == "m"
    assert not net.layer[3].HasField("transform_param")


def test_old_batch_norm_is_frozen(tmp_path):
    layers = _upgraded(tmp_path, ODDITIES["old batch norm"]).layer
    assert [(spec.lr_mult, spec.decay_mult, spec.name) for spec in layers[0].param] == [
        (0, 0, ""),
        (0, 0, "w"),
        (0, 0, ""),
    ]
    assert [spec.lr_mult for spec in layers[1].param] == [1]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("layers { name: 'a' type: RELU } layer { name: 'b' type: 'ReLU' }", r"both 'layers' .* 'layer'"),
        ("layers { layer { name: 'a' type: 'conv2' } }", "'a' has the unknown V0 type 'conv2'"),
        ("layers { layer { name: 'a' type: 'conv' } bottom: 'x' top: 'y' }", "unknown bottom blob 'x' .*'a'"),
        (
            "input: 'd' input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1 "
            "layers { layer { name: 'p' type: 'padding' } bottom: 'd' top: 'p' } "
            "layers { layer { name: 'r' type: 'relu' } bottom: 'p' top: 'r' }",
            "padding in front of layer 'r' of type 'relu'",
        ),
        ("input: 'd' input_dim: 1 input_dim: 3 layer { name: 'a' }", "1 inputs with 2 input_dim"),
        (
            "input: 'd' input: 'e' input_shape { dim: 1 } layer { name: 'a' }",
            "2 inputs with 0 input_dim, 1 sh",
        ),
    ],
)
def test_what_cannot_be_upgraded(tmp_path, text, match):
    with pytest.raises(CamcaffeError, match=match) as error:
        _upgraded(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "net.prototxt"))


@pytest.mark.parametrize(
    ("old", "new"), [("NESTEROV", "Nesterov"), ("SGD", "SGD"), ("ADADELTA", "AdaDelta"), ("ADAM", "Adam")]
)
def test_solver_types(tmp_path, old, new):
    path = tmp_path / "solver.prototxt"
    path.write_text(f"base_lr: 0.1 solver_type: {old}")
    solver = read_solver(path)
    assert solver.type == new and not solver.HasField("solver_type")
    path.write_text(f"solver_type: {old} type: 'SGD'")
    with pytest.raises(CamcaffeError, match="both solver_type and type"):
        read_solver(path)


def test_a_binary_net_keeps_its_weights_to_the_bit(tmp_path):
    net = text_format.Parse(V1, messages.NetParameter())
    net.layers[0].blobs.add(num=1, channels=1, height=1, width=2, data=[0.1, -3.5])
    net.layers[6].blobs.add(shape={"dim": [2]}, double_data=[1 / 3, 2])
    path = tmp_path / "old.caffemodel"
    path.write_bytes(net.SerializeToString())
    upgraded = messages.NetParameter.FromString(read_net(path).SerializeToString())
    assert upgraded.layer[1].name == "conv1" and upgraded.layer[1].blobs[0] == net.layers[0].blobs[0]
    assert upgraded.layer[7].name == "fc" and upgraded.layer[7].blobs[0] == net.layers[6].blobs[0]
    (tmp_path / "new.caffemodel").write_bytes(upgraded.SerializeToString())
    for name, arrays in read_caffemodel(path).items():
        assert arrays[0].tobytes() == read_caffemodel(tmp_path / "new.caffemodel")[name][0].tobytes()


def _caffe_upgrades(tool, source, target):
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}")
    # The tool's exit status tells that it dropped a setting; it writes the file all the same.
    subprocess.run([tool, source, target], capture_output=True, timeout=60)
    return target.read_bytes()


def _random_net(seed):
    """A net of a few V0 or V1 layers, each with every setting that the coin allows."""
    rng = random.Random(seed)
    net = messages.NetParameter(name=f"net{seed}", force_backward=rng.random() < 0.5)
    from camcaffe.caffe.upgrade import _V0_TYPES

    for index in range(6):
        layer = net.layers.add(top=[f"blob{index}"], bottom=[f"blob{index - 1}"] if index else [])
        if seed % 2:
            _fill(layer.layer, rng, {"type": rng.choice(sorted(_V0_TYPES))})
        else:
            _fill(layer, rng, {"type": rng.choice(layer.LayerType.values()), "layer": None})
    return net


def _fill(message, rng, fixed, depth=0):
    for field in message.DESCRIPTOR.fields:
        if field.name in ("bottom", "top") or (field.name not in fixed and rng.random() < 0.5):
            continue
        value = fixed.get(field.name, _random_value(field, rng))
        if field.name in fixed and value is None:
            continue
        is_list = hasattr(getattr(message, field.name), "extend")
        if field.message_type is not None:
            if depth < 3:
                _fill(
                    getattr(message, field.name).add() if is_list else getattr(message, field.name),
                    rng,
                    {},
                    3,
                )
        elif is_list:
            getattr(message, field.name).extend([value] * rng.randint(1, 3))
        else:
            setattr(message, field.name, value)


def _random_value(field, rng):
    if field.enum_type is not None:
        return rng.choice(field.enum_type.values).number
    return {
        field.CPPTYPE_STRING: f"text{rng.randint(0, 9)}",
        field.CPPTYPE_BOOL: rng.random() < 0.5,
        field.CPPTYPE_FLOAT: rng.randint(-8, 8) / 8,
        field.CPPTYPE_DOUBLE: rng.randint(-8, 8) / 8,
    }.get(field.cpp_type, rng.randint(0, 99))


@pytest.mark.pycaffe
@pytest.mark.parametrize("text", [V0, V1, V2, *ODDITIES.values()], ids=["V0", "V1", "V2", *ODDITIES])
def test_text_as_caffe_upgrades_it(tmp_path, text):
    ours = _upgraded(tmp_path, text)
    theirs = _caffe_upgrades("upgrade_net_proto_text", tmp_path / "net.prototxt", tmp_path / "caffe.prototxt")
    assert net_to_text(ours) == net_to_text(text_format.Parse(theirs, messages.NetParameter()))


@pytest.mark.pycaffe
def test_the_original_nets_as_caffe_upgrades_them(tmp_path, reference):
    for path in [*reference.glob("cam_repo/*deploy*.prototxt"), *reference.glob("caffe/*.prototxt")]:
        theirs = _caffe_upgrades("upgrade_net_proto_text", path, tmp_path / "caffe.prototxt")
        assert read_prototxt(path) == text_format.Parse(theirs, messages.NetParameter()), path


@pytest.mark.pycaffe
@pytest.mark.parametrize("seed", range(40))
def test_random_old_nets_as_caffe_upgrades_them(tmp_path, seed):
    source = tmp_path / "old.caffemodel"
    source.write_bytes(_random_net(seed).SerializeToString())
    theirs = _caffe_upgrades("upgrade_net_proto_binary", source, tmp_path / "caffe.caffemodel")
    ours = messages.NetParameter.FromString(read_net(source).SerializeToString())
    assert net_to_text(ours) == net_to_text(messages.NetParameter.FromString(theirs))


@pytest.mark.pycaffe
def test_solvers_as_caffe_upgrades_them(tmp_path):
    for name, _ in messages.SolverParameter.SolverType.items():
        source = tmp_path / "solver.prototxt"
        source.write_text(f"base_lr: 0.1 solver_type: {name}")
        theirs = _caffe_upgrades("upgrade_solver_proto_text", source, tmp_path / "caffe.prototxt")
        assert read_solver(source) == text_format.Parse(theirs, messages.SolverParameter())
