from pathlib import Path

import pytest

from camcaffe import CamcaffeError
from camcaffe.caffe.network import read_network
from camcaffe.caffe.prototxt import net_to_text, read_prototxt, read_solver
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.models import MODELS, class_labels
from camcaffe.models.written import DESCRIPTIONS, all_texts, deploy_text, write_models

COMMITTED = Path(__file__).resolve().parents[2] / "models"

# The original prototxts there are, in the reference folder, and ours.
ORIGINALS = {
    "cam_repo/deploy_googlenetCAM_places205.prototxt": "deploy_googlenetCAM_places205.prototxt",
    "cam_repo/train_val_googlenetCAM.prototxt": "train_val_googlenetCAM.prototxt",
    "cam_repo/deploy_vgg16CAM.prototxt": "deploy_vgg16CAM.prototxt",
    "cam_repo/deploy_alexnetplusCAM_imagenet.prototxt": "deploy_alexnetplusCAM_imagenet.prototxt",
    "cam_repo/deploy_alexnetplusCAM_places205.prototxt": "deploy_alexnetplusCAM_places205.prototxt",
    "caffe/deploy_squeezenetCAM.prototxt": "deploy_squeezenetCAM.prototxt",
    "caffe/deploy_squeezenet_v1.0.prototxt": "deploy_squeezenet_v1.0.prototxt",
}

# Model -> weights and biases in all, layers in its original prototxt, shape of its CAM blob for one image.
FACTS = {
    "googlenetCAM": (8_345_896, 114, (1024, 14, 14)),
    "googlenetCAM_places205": (7_531_021, 114, (1024, 14, 14)),
    "vgg16CAM": (18_100_008, 36, (1024, 14, 14)),
    "alexnetplusCAM_imagenet": (5_133_800, 23, (512, 11, 11)),
    "alexnetplusCAM_places205": (4_725_965, 22, (512, 11, 11)),
    "squeezenetCAM": (1_248_424, 65, (512, 13, 13)),
    "googlenetGMP": (8_345_896, 114, (1024, 14, 14)),
    "caffeNetCAM": (5_719_400, 19, (1024, 13, 13)),
    "alexnetstarCAM": (4_617_576, 21, (512, 13, 13)),
    "googlenet": (6_998_552, 143, (1024, 7, 7)),
    "vgg16": (138_357_544, 39, None),
    "alexnet": (60_965_224, 24, None),
    "caffenet": (60_965_224, 24, None),
    "nin": (7_595_176, 30, (1000, 6, 6)),
    "squeezenet_v1.0": (1_248_424, 65, (1000, 15, 15)),
    "digitsCAM": (101_367, 26, (64, 14, 14)),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


def test_every_model_is_described_and_has_facts():
    assert MODELS.keys() == DESCRIPTIONS.keys() == FACTS.keys()


def test_the_committed_folder_is_current():
    texts = all_texts()
    assert {path.name for path in COMMITTED.iterdir() if path.is_file()} == texts.keys()
    old = [name for name, text in texts.items() if (COMMITTED / name).read_text(encoding="utf-8") != text]
    assert old == [], "camcaffe models write"


@pytest.mark.parametrize("original", ORIGINALS)
def test_ours_equals_the_original(camcaffe, written, reference, original):
    result = camcaffe("net", "diff", written / ORIGINALS[original], reference / original)
    assert (result.exit_code, result.output) == (0, "no difference\n")
    assert read_prototxt(written / ORIGINALS[original]) == read_prototxt(reference / original)


def test_googlenet_cam_is_the_places_net_with_other_classes(camcaffe, written, reference):
    original = reference / "cam_repo" / "deploy_googlenetCAM_places205.prototxt"
    result = camcaffe("net", "diff", written / "deploy_googlenetCAM.prototxt", original)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert "CAM_fc" in result.output and "1000" in result.output and "205" in result.output


def test_the_published_solver_names_a_file_that_exists(written, reference):
    name = "solver_imagenet_googlenetCAM.prototxt"
    ours, original = read_solver(written / name), read_solver(reference / "cam_repo" / name)
    assert original.net == "train_val_imagenet_googlenetCAM.prototxt"
    assert not (written / original.net).exists()
    assert (written / ours.net).is_file()
    original.net = ours.net
    assert ours == original


@pytest.mark.parametrize("name", MODELS)
def test_the_deploy_net(written, name):
    parameters, layers, cam_shape = FACTS[name]
    model, network = MODELS[name], read_network(written / MODELS[name].deploy)
    shapes = infer_shapes(network)
    assert network.inputs["data"][1:] == (3, model.input_size, model.input_size)
    # Where the input is a field of the net in the original, Caffe makes a layer of it too.
    assert len(network.message.layer) - layers in (0, 1)
    blobs = [blob for layer in shapes.layers for blob in layer.params]
    assert sum(_count(shape) for shape in blobs) == parameters
    classes = len(class_labels(model.classes))
    batch = network.inputs["data"][0]
    assert len(network.outputs) == 1
    assert _count(shapes.blobs[network.outputs[0]]) == batch * classes
    assert bool(model.cam_blob) == bool(model.pool) == (cam_shape is not None)
    if model.cam_blob:
        assert shapes.blobs[model.cam_blob] == (batch, *cam_shape)
        units = cam_shape[0]
        if model.fc:
            fc = next(s for layer, s in zip(network.layers, shapes.layers) if layer.name == model.fc)
            assert fc.params == ((classes, units), (classes,))
        else:
            assert units == classes


@pytest.mark.parametrize("name", MODELS)
def test_the_pooling_is_what_the_registry_says(written, name):
    model, network = MODELS[name], read_network(written / MODELS[name].deploy)
    kinds = {"average": 1, "max": 0}
    pools = [
        layer.message.pooling_param
        for layer in network.layers
        if layer.type == "Pooling" and layer.bottoms == (model.cam_blob,)
    ]
    assert [pool.pool for pool in pools] == ([kinds[model.pool]] if model.pool else [])


@pytest.mark.parametrize("name", MODELS)
def test_the_training_net(written, name):
    solver = "solver_imagenet_googlenetCAM" if name == "googlenetCAM" else f"solver_{name}"
    settings = read_solver(written / f"{solver}.prototxt")
    assert settings.net == f"train_val_{name}.prototxt"
    net = read_prototxt(written / settings.net)
    for phase, wanted in (("TRAIN", {"SoftmaxWithLoss"}), ("TEST", {"SoftmaxWithLoss", "Accuracy"})):
        network = read_network(written / settings.net, phase=phase)
        data, *rest = network.layers
        assert (data.type, data.tops) == ("Data", ("data", "label"))
        assert data.message.transform_param.crop_size == MODELS[name].input_size
        assert data.message.transform_param.mirror == (phase == "TRAIN")
        heads = [layer for layer in rest if "label" in layer.bottoms]
        assert {layer.type for layer in heads} == wanted
        # The classes are those of the deploy net: its score layer is one the losses read.
        deploy = read_network(written / MODELS[name].deploy)
        shapes = infer_shapes(deploy)
        assert any(_count(shapes.blobs.get(layer.bottoms[0], ())) for layer in heads)
    deployed = {layer.name: layer for layer in read_prototxt(written / MODELS[name].deploy).layer}
    trained = {layer.name: layer for layer in net.layer}
    assert deployed.keys() - trained.keys() <= {"prob", "input", "data"}
    for shared in deployed.keys() & trained.keys() - {"data"}:
        assert trained[shared].type == deployed[shared].type
        assert list(trained[shared].bottom) == list(deployed[shared].bottom)


def test_each_file_tells_what_it_is(written):
    text = (written / "deploy_alexnetstarCAM.prototxt").read_text()
    assert text.startswith("# AlexNet*-GAP of the paper")
    assert "a reading, not the authors' file" in text
    assert all(path.read_text().startswith("# ") for path in written.iterdir())


def test_a_deploy_text_by_a_name_that_there_is_not():
    with pytest.raises(CamcaffeError, match="resnet: no model has this name"):
        deploy_text("resnet")


SMALL = [name for name in MODELS if FACTS[name][0] < 100_000_000]


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", SMALL)
def test_real_caffe_builds_the_deploy_net(written, name):
    import caffe

    net = caffe.Net(str(written / MODELS[name].deploy), caffe.TEST)
    assert sum(blob.data.size for blobs in net.params.values() for blob in blobs) == FACTS[name][0]


@pytest.mark.pycaffe
@pytest.mark.parametrize("name", SMALL)
def test_real_caffe_builds_the_training_net(written, tmp_path, name):
    import caffe

    net = read_prototxt(written / f"train_val_{name}.prototxt")
    size = MODELS[name].input_size
    del net.layer[:2]  # the LMDBs; two images stand in for them
    net.input.extend(["data", "label"])
    net.input_shape.add(dim=[2, 3, size, size])
    net.input_shape.add(dim=[2])
    (tmp_path / "net.prototxt").write_text(net_to_text(net))
    for phase in (caffe.TRAIN, caffe.TEST):
        built = caffe.Net(str(tmp_path / "net.prototxt"), phase)
        losses = [layer.type for layer in built.layers if layer.type == "SoftmaxWithLoss"]
        assert len(losses) == (3 if name == "googlenet" else 1)
        assert {"loss", "loss3/loss3"} & set(built.outputs)
        accuracies = [layer.type for layer in built.layers if layer.type == "Accuracy"]
        assert bool(accuracies) == (phase == caffe.TEST)


@pytest.mark.pycaffe
def test_real_caffe_reads_the_solvers(written):
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    for path in written.glob("solver_*.prototxt"):
        solver = text_format.Parse(path.read_text(), caffe_pb2.SolverParameter())
        assert (written / solver.net).is_file()


def _count(shape):
    count = 1
    for size in shape:
        count *= size
    return count
