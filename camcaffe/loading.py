"""A model by name, or from a prototxt and a caffemodel, ready to run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camcaffe.caffe import engines
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

if TYPE_CHECKING:
    from camcaffe.backprop import Backprop


@dataclass(frozen=True)
class NetFiles:
    """What a net is loaded from.

    Attributes:
        prototxt: the deploy net.
        caffemodel: its weights.
        mean: what is subtracted from images, as `camcaffe.caffe.mean.read_mean` reads it.
        labels: its class list; None: neither a file nor the registry tells.
    """

    prototxt: PathLike
    caffemodel: PathLike
    mean: PathLike
    labels: tuple[str, ...] | None

    @classmethod
    def find(
        cls,
        name: str | None = None,
        prototxt: PathLike | None = None,
        caffemodel: PathLike | None = None,
        mean: PathLike | None = None,
        labels: PathLike | None = None,
    ) -> NetFiles:
        """Those of a name from the registry, each of which can be given instead; see `load`.

        Raises:
            CamcaffeError: unknown name; a file is missing (the line says which command brings it).
        """
        known = None
        if not (prototxt and caffemodel and mean):
            if name is None:
                raise CamcaffeError(
                    "model", "no name, and not all of prototxt, caffemodel and mean", "either"
                )
            known = model_files(name)
        if labels is not None:
            names = read_labels(labels)
        else:
            names = None if known is None else class_labels(known.model.classes)
        return cls(prototxt or known.prototxt, caffemodel or known.caffemodel, mean or known.mean, names)

    def labels_of(self, net: Net, scores: str) -> tuple[str, ...]:
        """The class list; "class 0", "class 1", ... for each of the scores where it is not known."""
        if self.labels is not None:
            return self.labels
        return tuple(f"class {index}" for index in range(net.blobs[scores].shape[1]))


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
    found = NetFiles.find(name, prototxt, caffemodel, mean, labels)
    net = Net(found.prototxt, found.caffemodel, **engine)
    network = read_network(found.prototxt)
    head = find_head(network, infer_shapes(network), cam_blob, fc)
    return Model(net, head, read_mean(found.mean), found.labels_of(net, head.scores))


def load_backprop(
    name: str | None = None,
    *,
    prototxt: PathLike | None = None,
    caffemodel: PathLike | None = None,
    mean: PathLike | None = None,
    labels: PathLike | None = None,
    engine: str = "auto",
    **options,
) -> Backprop:
    """Load a classification net, with or without a CAM head, for the backprop baseline.

    Args:
        name: as for `load`, and so prototxt, caffemodel, mean and labels.
        prototxt: the deploy net.
        caffemodel: its weights.
        mean: what is subtracted from images.
        labels: the class list.
        engine: one that has gradients; "auto": the first of them that is there.
        **options: keyword arguments of `Net`: threads, precision, device.

    Raises:
        CamcaffeError: as `load`, but for the head; the engine has no gradients; no scores of classes.
    """
    from camcaffe.backprop import Backprop, score_blobs

    found = NetFiles.find(name, prototxt, caffemodel, mean, labels)
    net = Net(found.prototxt, found.caffemodel, engine=_with_gradients(engine), gradients=True, **options)
    output, scores = score_blobs(read_network(found.prototxt))
    return Backprop(net, output, scores, read_mean(found.mean), found.labels_of(net, output))


def _with_gradients(engine: str) -> str:
    if engine != "auto" or os.environ.get("CAMCAFFE_ENGINE"):
        return engine
    able = [name for name in engines.ENGINES if engines.load(name).Engine.has_gradients]
    there = [name for name in able if engines.load(name).version() is not None]
    return (there or able)[0]
