import pytest

from camcaffe import CamcaffeError
from camcaffe.caffe.head import find_head
from camcaffe.caffe.network import read_network
from camcaffe.caffe.shapes import infer_shapes

DATA = 'input: "data" input_dim: 10 input_dim: 3 input_dim: 20 input_dim: 24\n'


def layer(name, kind, bottom, options="", top=None):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top or name}" {options} }}\n'


def conv(name, bottom, units, kernel=3):
    return layer(
        name, "Convolution", bottom, f"convolution_param {{ num_output: {units} kernel_size: {kernel} }}"
    )


def fc(name, bottom, units):
    return layer(name, "InnerProduct", bottom, f"inner_product_param {{ num_output: {units} }}")


def pool(name, bottom, options):
    return layer(name, "Pooling", bottom, f"pooling_param {{ {options} }}")


def relu(blob):
    return layer(f"{blob}_relu", "ReLU", blob, top=blob)


GAP = "pool: AVE global_pooling: true"
FEATURES = DATA + conv("features", "data", 6) + relu("features")


@pytest.fixture
def head_of(tmp_path):
    def find(text, *given):
        (tmp_path / "net.prototxt").write_text(text)
        network = read_network(tmp_path / "net.prototxt")
        return find_head(network, infer_shapes(network), *given)

    return find


@pytest.mark.parametrize(
    ("prototxt", "kind", "cam_blob", "classifier"),
    [
        ("cam_repo/deploy_googlenetCAM_places205", "GAP -> FC", "CAM_conv", "CAM_fc"),
        ("cam_repo/deploy_vgg16CAM", "GAP -> FC", "CAM_conv", "CAM_fc"),
        ("cam_repo/deploy_alexnetplusCAM_imagenet", "GAP -> FC", "conv7", "fc9"),
        ("cam_repo/deploy_alexnetplusCAM_places205", "GAP -> FC", "conv7", "fc9"),
        ("caffe/deploy_squeezenetCAM", "GAP -> FC", "fire9/concat", "CAM_fc"),
        ("caffe/deploy_squeezenet_v1.0", "1x1 conv -> GAP", "conv_final", None),
    ],
)
def test_published_nets(reference, prototxt, kind, cam_blob, classifier):
    network = read_network(reference / f"{prototxt}.prototxt")
    head = find_head(network, infer_shapes(network))
    assert (head.kind, head.cam_blob, head.classifier) == (kind, cam_blob, classifier)


@pytest.mark.parametrize("pooling", [GAP, "pool: AVE kernel_h: 18 kernel_w: 22"])
def test_average_pooling(head_of, pooling):
    head = head_of(FEATURES + pool("gap", "features", pooling) + fc("fc", "gap", 4))
    assert (head.kind, head.cam_blob, head.classifier, head.scores) == ("GAP -> FC", "features", "fc", "fc")


def test_maximum_pooling(head_of):
    head = head_of(FEATURES + pool("gmp", "features", "pool: MAX global_pooling: true") + fc("fc", "gmp", 4))
    assert head.kind == "GMP -> FC"


def test_dropout_flatten_and_softmax_change_nothing(head_of):
    text = FEATURES + pool("gap", "features", GAP) + layer("flat", "Flatten", "gap")
    text += (
        layer("drop", "Dropout", "flat", top="flat") + fc("fc", "flat", 4) + layer("prob", "Softmax", "fc")
    )
    head = head_of(text)
    assert (head.kind, head.cam_blob, head.scores) == ("GAP -> FC", "features", "prob")
    assert [step.split()[0] for step in head.path] == ["prob", "fc", "drop", "flat", "gap"]


def test_a_classifier_written_as_a_convolution(head_of):
    head = head_of(FEATURES + pool("gap", "features", GAP) + conv("classes", "gap", 4, kernel=1))
    assert (head.kind, head.classifier) == ("GAP -> FC", "classes")


def test_class_maps(head_of):
    text = FEATURES + conv("maps", "features", 4, kernel=1) + relu("maps") + pool("gap", "maps", GAP)
    head = head_of(text + layer("prob", "Softmax", "gap"))
    assert (head.kind, head.cam_blob, head.classifier) == ("1x1 conv -> GAP", "maps", None)


def test_the_features_behind_class_maps_can_be_given(head_of):
    text = FEATURES + conv("maps", "features", 4, kernel=1) + pool("gap", "maps", GAP)
    head = head_of(text, "features", "maps")
    assert (head.kind, head.cam_blob, head.classifier) == ("given", "features", "maps")


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (fc("fc", "features", 4), "features_relu .* before any global"),
        (
            pool("gap", "features", GAP) + fc("fc6", "gap", 5) + fc("fc7", "fc6", 4),
            "fc6 .* before any global",
        ),
        (
            pool("p", "features", "pool: AVE kernel_size: 5") + fc("fc", "p", 4),
            r"pools \(18, 22\) to \(14, 18\)",
        ),
        (
            pool("p", "features", "pool: STOCHASTIC global_pooling: true") + fc("fc", "p", 4),
            "neither the average",
        ),
        (pool("gap", "features", GAP), "features .* makes the blob that is pooled"),
        (
            conv("m", "features", 4, 1) + pool("gmp", "m", "pool: MAX global_pooling: true"),
            "not their average",
        ),
    ],
)
def test_nets_without_a_head(head_of, tail, message):
    with pytest.raises(
        CamcaffeError, match=rf"net\.prototxt: no CAM head \(.*({message}).*--cam-blob and --fc"
    ):
        head_of(FEATURES + tail)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("features", None), "only one of --cam-blob and --fc; expected both or neither"),
        (("nothing", "fc"), "no blob 'nothing'; expected one of data, features"),
        (("features", "gap"), "no fully connected layer or convolution 'gap'; expected one of features, fc"),
        (("data", "fc"), r"blob data of shape \(10, 3, 20, 24\) and weights of fc of shape \(4, 6\)"),
    ],
)
def test_given_heads_that_do_not_fit(head_of, given, message):
    text = FEATURES + pool("gap", "features", GAP) + fc("fc", "gap", 4)
    assert head_of(text, "features", "fc").kind == "given"
    with pytest.raises(CamcaffeError, match=message):
        head_of(text, *given)


def test_the_command_says_what_it_found_and_why(camcaffe, tmp_path):
    (tmp_path / "net.prototxt").write_text(FEATURES + pool("gap", "features", GAP) + fc("fc", "gap", 4))
    result = camcaffe("net", "head", tmp_path / "net.prototxt")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "head        GAP -> FC",
        "CAM blob    features (6 x 18 x 22)",
        "classifier  fc",
        "scores      fc",
        "found by    fc (InnerProduct): the classifier",
        "            gap (Pooling): GAP over the whole 18 x 22 map",
    ]
    (tmp_path / "net.prototxt").write_text(FEATURES)
    result = camcaffe("net", "head", tmp_path / "net.prototxt")
    assert result.exit_code == 2
    assert (
        "net.prototxt: no CAM head (features: features_relu (ReLU) stands before any global" in result.output
    )
