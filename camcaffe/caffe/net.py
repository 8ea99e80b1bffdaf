"""Caffe's net with pycaffe's interface, on any engine."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace

import numpy as np

from camcaffe.caffe import engines, messages
from camcaffe.caffe.blobs import Blob, Parameters
from camcaffe.caffe.caffemodel import write_caffemodel
from camcaffe.caffe.network import Network, insert_splits, network_of, read_network
from camcaffe.caffe.passes import Memory
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.weights import fill_weights, load_weights, read_weights
from camcaffe.errors import CamcaffeError
from camcaffe.files import PathLike

# As pycaffe numbers them.
TRAIN, TEST = 0, 1


class Net:
    """A net as pycaffe's `caffe.Net`: a program written for that runs unchanged, on any engine.

    Called as pycaffe allows: `Net(prototxt, phase)`, `Net(prototxt, caffemodel, phase)`,
    `Net(prototxt, phase, weights=caffemodel)`; phases are `TRAIN` and `TEST` (0 and 1) or these words.

    What differs: arrays that a pass returned stay as they are when the next pass runs; inputs may
    be passed in another batch or size than before; only what is asked for or read is computed (see `passes`).
    Parameters may be changed in place (net surgery): the next forward pass has the new values.

    Args:
        prototxt: the description, of any version.
        caffemodel: the weights; None: as the prototxt's fillers say.
        phase: TEST or TRAIN; layers that work differently while training are refused in a forward pass.
        level: for the prototxt's include and exclude rules.
        stages: likewise.
        weights: the caffemodel, where pycaffe's keyword is used.
        engine: an engine's name, or "auto" (see `engines.choose`).
        threads: CPU threads; None: all there are.
        precision: "float32"; "bfloat16" and "float16", where the engine has them, are not faithful to Caffe.
        device: "cpu", or what else the engine runs on.
        gradients: whether backward passes follow each forward pass, which is then run once for all of them;
            they may follow in any case.
        seed: for the fillers.

    Attributes:
        blobs: name -> Blob, in order, the copies that Caffe's Split layers make included.
        params: layer name -> list of Blob (weights, bias, ...).
        layers: objects with `type` and `blobs`, in order, Input and Split layers included.
        layer_dict: layer name -> the same.
        inputs: names of the input blobs.
        outputs: names of the blobs that no layer reads.
        top_names: layer name -> names of its tops.
        bottom_names: layer name -> names of its bottoms.
        engine: the engine's name.

    Raises:
        CamcaffeError: a file cannot be read, or the weights do not fit; the engine is not there.
    """

    def __init__(
        self,
        prototxt: PathLike,
        caffemodel: PathLike | int | None = None,
        phase: str | int = "TEST",
        level: int = 0,
        stages: Sequence[str] = (),
        weights: PathLike | None = None,
        *,
        engine: str = "auto",
        threads: int | None = None,
        precision: str = "float32",
        device: str = "cpu",
        gradients: bool = False,
        seed: int = 0,
    ):
        if isinstance(caffemodel, int):
            caffemodel, phase = weights, caffemodel
        elif caffemodel is None:
            caffemodel = weights
        if phase in (TRAIN, TEST):
            phase = ("TRAIN", "TEST")[phase]
        if precision not in engines.PRECISIONS:
            raise CamcaffeError("precision", f"{precision!r}", " or ".join(engines.PRECISIONS))
        if threads is not None and threads < 1:
            raise CamcaffeError("threads", f"{threads}", "a positive number")
        module = engines.choose(engine)
        self.engine, self._has_gradients = module.Engine.name, module.Engine.has_gradients
        if gradients:
            self._need_gradients()
        self._network = _with_splits(read_network(prototxt, phase, level, stages or ()))
        self._fixed_shapes = infer_shapes(self._network)
        if caffemodel is None:
            values = fill_weights(self._network, self._fixed_shapes, seed)
        else:
            values = load_weights(self._network, self._fixed_shapes, caffemodel, seed)
        options = {"threads": threads, "precision": precision, "device": device}
        if gradients:
            options["gradients"] = True

        def make_engine(part: Network, values: dict):
            return module.Engine(part, values, **options)

        self._memory = Memory(self._network, Parameters(values), phase == "TRAIN", make_engine)
        self._name_things()

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Run the net forward.

        Args:
            blobs: names of blobs to return beside the outputs.
            start: the layer to begin at; what it reads is taken as it stands in its bottom blobs.
            end: the layer to end at; its tops are then returned in place of the outputs.
            **inputs: input blob name -> array in Caffe's layout, of any batch and size that the net takes;
                none: the inputs stay as they are.

        Returns:
            Blob name -> float32 array.

        Raises:
            CamcaffeError: an unknown name; inputs that the net, or an option that the engine does not take.
        """
        first, last = self._range(start, end)
        returned = list(self.outputs if end is None else self.top_names[end])
        returned += [name for name in self._known_blobs(blobs) if name not in returned]
        if inputs:
            self._set_inputs(inputs)
        self._memory.forward(first, last, returned)
        return {name: self.blobs[name].data for name in returned}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **output_diffs: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Run the net backward, on the last forward pass.

        Diffs of parameters add up from pass to pass, as in Caffe, but only from the first call of
        `clear_param_diffs` on, or from the first time that one is read.

        Args:
            diffs: names of blobs whose diffs are returned beside those of the inputs.
            start: the layer to begin at, from the diffs of its tops; None: the last one.
            end: the layer to end at; the diffs of its bottoms are then returned in place of the inputs'.
            **output_diffs: output blob name -> diff; none: the diffs of the blobs stay as they are.

        Returns:
            Blob name -> float32 array, the gradient of sum(output * diff).

        Raises:
            CamcaffeError: the engine has no gradients; an unknown name; no forward pass came before.
        """
        self._need_gradients()
        first, last = self._range(end, start)
        returned = list(self.inputs if end is None else self.bottom_names[end])
        returned += [name for name in self._known_blobs(diffs) if name not in returned]
        if output_diffs:
            self._match("outputs", output_diffs, self.outputs)
            for name, diff in output_diffs.items():
                blob = self.blobs[name]
                if np.shape(diff) != blob.shape:
                    raise CamcaffeError(f"diff {name!r}", f"shape {np.shape(diff)}", f"{blob.shape}")
                blob.diff[...] = diff
        self._memory.backward(last, first, returned)
        return {name: self.blobs[name].diff for name in returned}

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run the net forward on as many items as there are, in batches of the input's size.

        Args:
            blobs: names of blobs to return beside the outputs.
            **inputs: input blob name -> array; the last batch is filled up with zeros.

        Returns:
            Blob name -> float32 array, an entry for each item.

        Raises:
            CamcaffeError: as `forward`; or the inputs have different lengths.
        """
        self._match("inputs", inputs, self.inputs)
        counts = {len(array) for array in inputs.values()}
        if len(counts) != 1 or 0 in counts:
            raise CamcaffeError(
                self._network.source, f"inputs of {sorted(counts)} items", "one number for all"
            )
        results = [self.forward(blobs, **batch) for batch in self._batches(inputs)]
        return {name: np.concatenate([r[name] for r in results])[: max(counts)] for name in results[0]}

    def reshape(self) -> None:
        """Let the shapes of all blobs follow from those of the inputs.

        Raises:
            CamcaffeError: naming the layer that does not take them.
        """
        self._memory.reshape_all()

    def clear_param_diffs(self) -> None:
        """Set the diffs of all parameters to 0."""
        self._memory.clear_parameter_diffs()

    def copy_from(self, caffemodel: PathLike) -> None:
        """Take the weights of those layers that a caffemodel (binary or HDF5) has, by name.

        Raises:
            CamcaffeError: the file cannot be read, has no layer of the net, or shapes that do not fit.
        """
        values, _ = read_weights(self._network, self._fixed_shapes, caffemodel)
        self._memory.parameters.replace(values)

    def save(self, path: PathLike) -> None:
        """Write the weights as a caffemodel: HDF5 where the name ends in `.h5`, else binary.

        Raises:
            CamcaffeError: the file cannot be written.
        """
        write_caffemodel(path, self._network, self._memory.parameters.latest())

    @property
    def blob_loss_weights(self) -> dict[str, float]:
        """Blob name -> how much it counts towards the loss."""
        return OrderedDict((name, self._memory.loss_weight(name)) for name in self.blobs)

    def _need_gradients(self) -> None:
        if not self._has_gradients:
            able = [name for name in engines.ENGINES if engines.load(name).Engine.has_gradients]
            raise CamcaffeError(
                f"engine {self.engine}", "it has no gradients", f"the engine {' or '.join(able)}"
            )

    def _name_things(self) -> None:
        message, memory = self._network.message, self._memory
        self._layer_names = [layer.name for layer in message.layer]
        self.top_names = OrderedDict((layer.name, list(layer.top)) for layer in message.layer)
        self.bottom_names = OrderedDict((layer.name, list(layer.bottom)) for layer in message.layer)
        self.inputs, self.outputs = list(self._network.inputs), list(self._network.outputs)
        self.blobs = OrderedDict((top, Blob(memory, top)) for layer in message.layer for top in layer.top)
        self.params = OrderedDict()
        for key in memory.parameters.shapes:
            self.params.setdefault(key[0], []).append(Blob(memory, key))
        self.layers = [
            SimpleNamespace(type=layer.type, blobs=self.params.get(layer.name, [])) for layer in message.layer
        ]
        self.layer_dict = OrderedDict(zip(self._layer_names, self.layers))

    def _range(self, first: str | None, last: str | None) -> tuple[int, int]:
        for name in (first, last):
            if name is not None and name not in self.top_names:
                raise CamcaffeError(self._network.source, f"no layer {name!r}", "a layer of the net")
        names = self._layer_names
        start = 0 if first is None else names.index(first)
        end = len(names) - 1 if last is None else names.index(last)
        if start > end:
            raise CamcaffeError(
                self._network.source, f"layer {first!r} comes after {last!r}", "layers in order"
            )
        return start, end

    def _known_blobs(self, names: Sequence[str] | None) -> list[str]:
        for name in names or ():
            if name not in self.blobs:
                raise CamcaffeError(self._network.source, f"no blob {name!r}", "a blob of the net")
        return list(names or ())

    def _match(self, what: str, given: Mapping, wanted: Sequence[str]) -> None:
        if set(given) != set(wanted):
            raise CamcaffeError(self._network.source, f"{what} {', '.join(given)}", ", ".join(wanted))

    def _set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        self._match("inputs", inputs, self.inputs)
        for name, values in inputs.items():
            try:
                array = np.asarray(values, np.float32)
            except (TypeError, ValueError) as error:
                raise CamcaffeError(f"input {name!r}", f"not an array of numbers ({error})") from error
            self._memory.set_input(name, array)

    def _batches(self, inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        size = self.blobs[self.inputs[0]].shape[0]
        for begin in range(0, len(inputs[self.inputs[0]]), size):
            batch = {
                name: np.asarray(array[begin : begin + size], np.float32) for name, array in inputs.items()
            }
            yield {
                name: np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), np.float32)])
                for name, part in batch.items()
            }


def _with_splits(network: Network) -> Network:
    """The net as Caffe runs it: a blob that several layers read is split for them."""
    message = messages.NetParameter(name=network.name, force_backward=network.force_backward)
    layers = iter(network.message.layer)
    layer = next(layers, None)
    for name, bottoms, tops in insert_splits(network):
        if layer is not None and layer.name == name and tuple(layer.top) == tops:
            added = message.layer.add()
            added.CopyFrom(layer)
            # The rules have been applied, with a level and stages that are not known any more.
            added.ClearField("include")
            added.ClearField("exclude")
            del added.bottom[:]
            added.bottom.extend(bottoms)
            layer = next(layers, None)
        else:
            message.layer.add(name=name, type="Split", bottom=bottoms, top=tops)
    return network_of(message, network.source)
