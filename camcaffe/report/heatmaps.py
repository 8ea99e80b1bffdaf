"""Where a report's heat maps come from: a folder that a run left, or the run's net once more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from camcaffe import files
from camcaffe.errors import CamcaffeError
from camcaffe.localize import Localizer, Settings, StoredImage, sha256
from camcaffe.matlab import read_gray
from camcaffe.models import MODELS
from camcaffe.models.store import find_weights
from camcaffe.run_store import ImageResult, RunStore

# (image, rank from 1) -> its heat map, (H, W) uint8, or None where there is none.
HeatmapReader = Callable[[StoredImage, int], "np.ndarray | None"]


def folder_heatmaps(folder: files.PathLike) -> HeatmapReader:
    """The heat maps of a folder in the original's layout, top1/NAME.jpg.

    Raises:
        CamcaffeError: there is no folder `top1` in it; later: a heat map is damaged.
    """
    if not (Path(folder) / "top1").is_dir():
        raise CamcaffeError(folder, "no folder top1 in it", "heat maps as top1/NAME.jpg, top2/NAME.jpg ...")

    def read(image: StoredImage, rank: int) -> np.ndarray | None:
        path = Path(folder) / f"top{rank}" / image.heatmap
        return read_gray(path) if path.is_file() else None

    return read


def net_of_run(identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The net that a run was made with, as keyword arguments of `load`, found by its weights' checksum.

    Only the networks known by name whose weights are on this machine are looked at.

    Args:
        identity: the run's.

    Returns:
        None where no weights are those of the run.
    """
    for model in MODELS.values():
        weights = find_weights(model)
        if weights is not None and sha256(weights) == identity.get("weights"):
            head = {"cam_blob": identity.get("CAM blob"), "fc": identity.get("FC layer")}
            return {"name": model.name, **{name: value for name, value in head.items() if value}}
    return None


@contextmanager
def recomputed_heatmaps(
    run: RunStore,
    net: Mapping[str, Any],
    images: Sequence[StoredImage],
    results: Mapping[str, ImageResult],
    progress: Callable[[Iterable], Iterable] = iter,
):
    """The heat maps of some images, made once more by the run's net.

    Args:
        run: the run.
        net: keyword arguments of `load`.
        images: one or more, with their true sizes where they are stored at another one.
        results: image name -> what the run found in it. Where the net ranks another class now, as another
            engine may where two are all but equal, there is no heat map.
        progress: wraps the images as they come, e.g. `tqdm`.

    Yields:
        A `HeatmapReader`.

    Raises:
        CamcaffeError: the weights are not those of the run, or as `load`, or an image cannot be read.
    """
    identity = run.identity
    with TemporaryDirectory(prefix="camcaffe-") as folder:
        reading = {"exif_rotation": bool(identity.get("EXIF rotation", False))}
        top = max(len(result.classes) for result in results.values())
        method = "backprop" if identity.get("method") == "backprop" else "cam"
        if method == "backprop":
            net = {name: value for name, value in net.items() if name not in ("cam_blob", "fc")}
        localizer = Localizer(Settings(net, method, top, folder, reading))
        weights = localizer.identity["weights"]
        if identity.get("weights", weights) != weights:
            raise CamcaffeError(
                run.path, f"it was made with other weights than {weights[:12]}...", "the run's net"
            )
        same = set()
        for image in progress(images):
            prepared = localizer.read(image)
            if isinstance(prepared, ImageResult):
                raise CamcaffeError(image.name, f"cannot be shown ({prepared.failure})", "the run's images")
            found = localizer.explain(localizer.run(prepared))
            ranked = zip(found.classes, results[image.name].classes)
            same |= {
                (image.name, rank) for rank, (now, then) in enumerate(ranked, 1) if now.index == then.index
            }
        read = folder_heatmaps(folder)
        yield lambda image, rank: read(image, rank) if (image.name, rank) in same else None
