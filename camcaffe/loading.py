"""A model by name, or from a prototxt and a caffemodel, ready to run."""

from __future__ import annotations

from camcaffe.caffe.head import find_head
from camcaffe.caffe.mean import read_mean
from camcaffe.caffe.net import Net
from camcaffe.caffe.network import read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike
from camcaffe.labels import read_labels
from camcaffe.model import Model
from camcaffe.models import class_labels, model_files


def load(
    name: str | None = None,
    *,
    prototxt: PathLike | None = None,
    caffemodel: PathLike | None = None,
    mean: PathLike | None = None,
    labels: PathLike | None = None,
    cam_blob: str | None = None,
    fc: str | None = None,
    **engine,
) -> Model:
    """Load a model.

    A name from the registry stands for its deploy prototxt, caffemodel, mean and class list; each of these
    can be given in place of the registry's, and without a name all but the labels must be.

    Args:
        name: a name that `camcaffe models list` shows.
        prototxt: the deploy net, of any version.
        caffemodel: its weights.
        mean: what is subtracted from images, as `camcaffe.caffe.mean.read_mean` reads it.
        labels: the class list; "class 0", "class 1", ... where neither name nor list tells.
        cam_blob: the features, where the net's graph does not tell; with `fc`.
        fc: the layer that weighs them; with `cam_blob`.
        **engine: keyword arguments of `Net`: engine, threads, precision, device.

    Returns:
        The model: `model("img.jpg")` gives a `Result`.

    Raises:
        CamcaffeError: unknown name; a file is missing (the line says which command brings it) or does not
            fit; no CAM head.
    """
    known = None
    if not (prototxt and caffemodel and mean):
        if name is None:
            raise CamcaffeError("model", "no name, and not all of prototxt, caffemodel and mean", "either")
        known = model_files(name)
    prototxt = prototxt or known.prototxt
    net = Net(prototxt, caffemodel or known.caffemodel, **engine)
    network = read_network(prototxt)
    head = find_head(network, infer_shapes(network), cam_blob, fc)
    if labels is not None:
        names = read_labels(labels)
    elif known is not None:
        names = class_labels(known.model.classes)
    else:
        names = [f"class {index}" for index in range(net.blobs[head.scores].shape[1])]
    return Model(net, head, read_mean(mean or known.mean), names)
