"""The networks that camcaffe knows by name: the paper's, their baselines, SqueezeNet, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from camcaffe.errors import CamcaffeError

# Where the originals are published.
CAM_WEIGHTS = "http://cnnlocalization.csail.mit.edu/demoCAM/models/"
CAM_REPOSITORY = "https://raw.githubusercontent.com/zhoubolei/CAM/master/"
CAFFE_WEIGHTS = "http://dl.caffe.berkeleyvision.org/"
CAFFE_REPOSITORY = "https://raw.githubusercontent.com/BVLC/caffe/master/"
SQUEEZENET_REPOSITORY = "https://raw.githubusercontent.com/forresti/SqueezeNet/master/"


@dataclass(frozen=True)
class Published:
    """A file that others published.

    Attributes:
        files: its name, then other names that it has been published under.
        addresses: where it lies, to be tried in turn; empty where nobody published it.
        checksum: `sha256:` or `sha1:` and the digest in hexadecimal; "" where it is not known.
    """

    files: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    checksum: str = ""


def _published(folder: str, *files: str, checksum: str = "") -> Published:
    return Published(files, tuple(folder + file for file in files), checksum)


# The mean image of ILSVRC 2012 that the original scripts subtract: 256x256, blue, green, red.
ILSVRC_MEAN = Published(
    ("ilsvrc_2012_mean.mat",),
    (
        CAFFE_REPOSITORY + "matlab/+caffe/imagenet/ilsvrc_2012_mean.mat",
        CAM_REPOSITORY + "ilsvrc_2012_mean.mat",
    ),
    "sha256:ed05ebe4d91262615496dff518cde13bc1a4d8d0e50241da79cf77d0113a9c08",
)


# The authors' demo: images, their cached features, the classifier's weights; a heat map and its image.
DEMO = tuple(
    _published(CAM_REPOSITORY + folder, file, checksum=f"sha256:{digest}")
    for folder, file, digest in (
        ("", "img1.jpg", "b7ca489c4bb039d1fb7fc0d34035227afa405a83f60e5f9b73cca34bd5154291"),
        ("", "img2.jpg", "c6ee5df6b42cd8e51fdcae9829003aba2ef25173635a80df4721c43733b0ac4d"),
        ("", "data_img1.mat", "ae6a2a82497fa24eed73786c548cdc8c326628414995485cc6c17dbe3b9ce1fd"),
        ("", "data_img2.mat", "7b6d9017dd024c5b1bb0a2714ccfb25ca38b466e3ff87559bfdb6fa998db9d6f"),
        ("", "data_net.mat", "6e03c2dc8f65479dd536f887a37e6b8907221944b2d5f4178aa0d18a6b30e91d"),
        ("", "categories1000.mat", "cbd7480d6512724332525feb97e4420204658ad6656e33455ee7cb8849c5bc87"),
        (
            "bboxgenerator/",
            "heatmap_6.jpg",
            "09a76129119af2ead2583005942064ffe3823f71f78d45b95bd8efeda6ac8f42",
        ),
        (
            "bboxgenerator/",
            "sample_6.jpg",
            "ed473153f9a80982cbfaffb4e51d6c60c6655b4b2c8c6d898ebf6f47bf681bc2",
        ),
    )
)


@dataclass(frozen=True)
class Model:
    """A network known by name.

    Attributes:
        name: what to call it.
        title: the network and the data it was trained on, in words.
        input_size: height and width of its input, in pixels; also the ten crops' size.
        classes: its class list: "imagenet", "places205" or "digits".
        weights: its caffemodel; without addresses where nobody published it.
        cam_blob: the blob whose channels make the class activation maps; "" for a net without global pooling.
        pool: how that blob is pooled: "average", "max", or "" for a net without global pooling.
        fc: the layer whose weights combine its channels; "" where each channel already is a class's map.
        paper: its name in the paper's tables 1 and 2; "" where it is not in them.
        mean: the mean image that is subtracted from the input, or a colour, as `read_mean` reads it. The
            original scripts subtract the same image for every network, those included that were trained on a
            mean pixel or on Places205; so does camcaffe.
        made_from: the model whose weights its own are made of by net surgery.
        layer_names: names of layers in the published weights -> names of the same layers here.
        shipped: its weights come with the package.
    """

    name: str
    title: str
    input_size: int
    classes: str
    weights: Published
    cam_blob: str = ""
    pool: str = ""
    fc: str = ""
    paper: str = ""
    mean: Published | str = ILSVRC_MEAN
    made_from: str = ""
    layer_names: Mapping[str, str] = field(default_factory=dict)
    shipped: bool = False

    @property
    def deploy(self) -> str:
        """The name of its deploy prototxt."""
        return f"deploy_{self.name}.prototxt"


# The layers of SqueezeNet's plain release, by the names of its Deep Compression release.
_SQUEEZENET_NAMES = {"conv10": "conv_final"}
for _fire in range(2, 10):
    for _theirs, _ours in {
        "squeeze1x1": "conv1x1_1",
        "expand1x1": "conv1x1_2",
        "expand3x3": "conv3x3_2",
    }.items():
        _SQUEEZENET_NAMES[f"fire{_fire}/{_theirs}"] = f"fire{_fire}/{_ours}"

_GAP = {"cam_blob": "CAM_conv", "pool": "average", "fc": "CAM_fc"}
_GAP_PLUS = {"cam_blob": "conv7", "pool": "average", "fc": "fc9"}

MODELS = {
    model.name: model
    for model in (
        Model(
            "googlenetCAM",
            "GoogLeNet-CAM, ImageNet",
            224,
            "imagenet",
            _published(
                CAM_WEIGHTS,
                "imagenet_googlenetCAM_train_iter_120000.caffemodel",
                "imagenet_googleletCAM_train_iter_120000.caffemodel",
            ),
            **_GAP,
            paper="GoogLeNet-GAP",
        ),
        Model(
            "vgg16CAM",
            "VGG16-CAM, ImageNet",
            224,
            "imagenet",
            _published(CAM_WEIGHTS, "vgg16CAM_train_iter_90000.caffemodel"),
            **_GAP,
            paper="VGGnet-GAP",
        ),
        Model(
            "googlenetCAM_places205",
            "GoogLeNet-CAM, Places205",
            224,
            "places205",
            _published(
                CAM_WEIGHTS,
                "places_googlenetCAM_train_iter_120000.caffemodel",
                "places_googleletCAM_train_iter_120000.caffemodel",
            ),
            **_GAP,
        ),
        Model(
            "alexnetplusCAM_imagenet",
            "AlexNet+-CAM, ImageNet",
            227,
            "imagenet",
            _published(CAM_WEIGHTS, "alexnetplusCAM_imagenet.caffemodel"),
            **_GAP_PLUS,
            paper="AlexNet*-GAP",
        ),
        Model(
            "alexnetplusCAM_places205",
            "AlexNet+-CAM, Places205",
            227,
            "places205",
            _published(CAM_WEIGHTS, "alexnetplusCAM_places205.caffemodel"),
            **_GAP_PLUS,
        ),
        Model(
            "squeezenetCAM",
            "SqueezeNet-CAM, ImageNet",
            227,
            "imagenet",
            Published(("squeezenetCAM.caffemodel",)),
            cam_blob="fire9/concat",
            pool="average",
            fc="CAM_fc",
            made_from="squeezenet_v1.0",
        ),
        Model(
            "googlenetGMP",
            "GoogLeNet-GMP, ImageNet",
            224,
            "imagenet",
            Published(("googlenetGMP.caffemodel",)),
            cam_blob="CAM_conv",
            pool="max",
            fc="CAM_fc",
            paper="GoogLeNet-GMP",
        ),
        Model(
            "caffeNetCAM",
            "AlexNet-GAP, ImageNet",
            227,
            "imagenet",
            Published(("caffeNetCAM.caffemodel",)),
            **_GAP,
            paper="AlexNet-GAP",
        ),
        Model(
            "alexnetstarCAM",
            "AlexNet*-GAP, ImageNet",
            227,
            "imagenet",
            Published(("alexnetstarCAM.caffemodel",)),
            cam_blob="conv7",
            pool="average",
            fc="CAM_fc",
            paper="AlexNet*-GAP",
        ),
        Model(
            "googlenet",
            "GoogLeNet, ImageNet",
            224,
            "imagenet",
            _published(
                CAFFE_WEIGHTS,
                "bvlc_googlenet.caffemodel",
                checksum="sha1:405fc5acd08a3bb12de8ee5e23a96bec22f08204",
            ),
            cam_blob="inception_5b/output",
            pool="average",
            fc="loss3/classifier",
            paper="GoogLeNet",
        ),
        Model(
            "vgg16",
            "VGG16, ImageNet",
            224,
            "imagenet",
            _published(
                "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/", "VGG_ILSVRC_16_layers.caffemodel"
            ),
            paper="VGGnet",
        ),
        Model(
            "alexnet",
            "AlexNet, ImageNet",
            227,
            "imagenet",
            _published(
                CAFFE_WEIGHTS,
                "bvlc_alexnet.caffemodel",
                checksum="sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
            ),
            paper="AlexNet",
        ),
        Model(
            "caffenet",
            "CaffeNet, ImageNet",
            227,
            "imagenet",
            _published(
                CAFFE_WEIGHTS,
                "bvlc_reference_caffenet.caffemodel",
                checksum="sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
            ),
        ),
        Model(
            "nin",
            "Network in Network, ImageNet",
            224,
            "imagenet",
            Published(
                ("nin_imagenet.caffemodel",),
                ("https://www.dropbox.com/s/0cidxafrb2wuwxw/nin_imagenet.caffemodel?dl=1",),
                "sha1:8e89c8fcd46e02780e16c867a5308e7bb7af0803",
            ),
            cam_blob="cccp8",
            pool="average",
            paper="NIN",
        ),
        Model(
            "squeezenet_v1.0",
            "SqueezeNet v1.0, ImageNet",
            227,
            "imagenet",
            _published(SQUEEZENET_REPOSITORY + "SqueezeNet_v1.0/", "squeezenet_v1.0.caffemodel"),
            cam_blob="conv_final",
            pool="average",
            layer_names=_SQUEEZENET_NAMES,
        ),
        Model(
            "digitsCAM",
            "digitsCAM, handwritten digits in scenes of camcaffe.digits",
            224,
            "digits",
            Published(("digitsCAM.caffemodel",)),
            **_GAP,
            mean="128,128,128",
            shipped=True,
        ),
    )
}


def find_model(name: str) -> Model:
    """The model of this name.

    Raises:
        CamcaffeError: there is none; the line lists all names.
    """
    if name not in MODELS:
        raise CamcaffeError(name, "no model has this name", f"one of {', '.join(MODELS)}")
    return MODELS[name]
