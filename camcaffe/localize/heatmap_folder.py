"""Heat maps as the original's scripts leave them on disk, and what is known of them beside.

top1/ILSVRC2012_val_00000361.jpg    the heat map of the image's best class, top2/... of the second, ...
predictions.mat                     images        N x 1 cell: their names, with suffix
                                    class_ids     N x K: their classes, best first, counted from 1 in the
                                                  order of `categories`, as MATLAB would
                                    scores        N x K: the classes' scores, the mean of the ten crops
                                    categories    C x 1 cell: the net's class list
                                    failed        M x 1 cell: images that could not be read
                                    reasons       M x 1 cell: why
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from camcaffe import files
from camcaffe.boxes import AUTHORS_THRESHOLDS, dt_boxes
from camcaffe.errors import CamcaffeError
from camcaffe.localize.images import StoredImage
from camcaffe.localize.localizer import sha256, software
from camcaffe.matlab import loadmat, read_gray
from camcaffe.run_store import ImageResult, RankedClass, RunStore

PREDICTIONS = "predictions.mat"


def write_predictions(folder: files.PathLike, run: RunStore) -> None:
    """Write `predictions.mat` beside the heat maps of a run.

    Raises:
        CamcaffeError: it cannot be written.
    """
    from scipy.io import savemat

    images, ids, scores, failed, reasons = [], [], [], [], []
    for result in run.results():
        if result.failure is not None:
            failed.append(result.name)
            reasons.append(result.failure)
            continue
        images.append(result.name)
        ids.append([ranked.index + 1 for ranked in result.classes])
        scores.append([ranked.score for ranked in result.classes])
    variables = {
        "images": _cells(images),
        "class_ids": np.array(ids, np.float64),
        "scores": np.array(scores, np.float64),
        "categories": _cells(run.labels),
        "failed": _cells(failed),
        "reasons": _cells(reasons),
    }
    with files.replacing(Path(folder) / PREDICTIONS) as temporary:
        savemat(temporary, variables, do_compression=True)


class HeatmapFolder:
    """A folder of heat maps, to make boxes of.

    Args:
        folder: as `write_predictions` and a run with heat maps leave it.

    Raises:
        CamcaffeError: it has no `predictions.mat`, or one that lacks something.

    Attributes:
        labels: the net's class list.
        names: all images, those that could not be read too.
        identity: what makes runs from this folder comparable.
    """

    def __init__(self, folder: files.PathLike):
        self._folder, self._path = Path(folder), Path(folder) / PREDICTIONS
        if not self._folder.is_dir():
            raise CamcaffeError(folder, "no such folder", "the folder of an earlier run's --heatmaps")
        variables = loadmat(self._path)
        images, self.labels = self._texts(variables, "images"), self._texts(variables, "categories")
        failed, reasons = self._texts(variables, "failed"), self._texts(variables, "reasons")
        ids, scores = self._rows(variables, "class_ids", images), self._rows(variables, "scores", images)
        if ids.shape != scores.shape or not np.isin(ids, np.arange(1, len(self.labels) + 1)).all():
            raise CamcaffeError(self._path, "class_ids that fit neither scores nor categories", "1 and up")
        if not np.isfinite(scores).all():
            raise CamcaffeError(self._path, "scores that are no numbers", "numbers")
        self._classes = dict(zip(images, zip((ids - 1).astype(np.int64).tolist(), scores.tolist())))
        self._failed = dict(zip(failed, reasons))
        self.names = sorted([*images, *failed])
        if len(set(self.names)) < len(self.names) or len(failed) != len(reasons):
            raise CamcaffeError(self._path, "an image twice, or one without a reason", "each image once")
        self.identity = {"method": "heat maps", "predictions": sha256(self._path), **software()}

    def result(self, name: str) -> ImageResult:
        """The classes and boxes of an image; the failure, where its heat maps cannot be read."""
        if name in self._failed:
            return ImageResult(name, failure=self._failed[name])
        ranked, heatmap = [], StoredImage(name, "").heatmap
        for rank, (index, score) in enumerate(zip(*self._classes[name]), 1):
            try:
                gray = read_gray(self._folder / f"top{rank}" / heatmap)
            except CamcaffeError as error:
                return ImageResult(name, failure=str(error))
            ranked.append(RankedClass(index, score, dt_boxes(gray, AUTHORS_THRESHOLDS)))
        return ImageResult(name, tuple(ranked))

    def _texts(self, variables: dict, name: str) -> list[str]:
        cells = variables.get(name)
        texts = cells.ravel().tolist() if isinstance(cells, np.ndarray) else None
        if texts is None or not all(isinstance(text, str) for text in texts):
            raise CamcaffeError(self._path, f"no cell array {name!r} of text", "what --heatmaps writes")
        return texts

    def _rows(self, variables: dict, name: str, images: list[str]) -> np.ndarray:
        rows = variables.get(name)
        if not images:
            return np.zeros((0, 1))
        if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu" or len(rows) != len(images):
            raise CamcaffeError(
                self._path, f"no {name!r} with a row for each image", "what --heatmaps writes"
            )
        return rows


def _cells(texts: list[str]) -> np.ndarray:
    cells = np.empty((len(texts), 1), object)
    cells[:, 0] = texts
    return cells
