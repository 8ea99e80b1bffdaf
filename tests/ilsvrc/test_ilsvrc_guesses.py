import json

import numpy as np
import pytest
from ilsvrc_files import IMAGES, WNIDS, WORDS, write_run

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.devkit import read_synsets
from camcaffe.ilsvrc.guesses import SETS, RunGuesses
from camcaffe.ilsvrc.lines import image_key
from camcaffe.ilsvrc.predictions import write_predictions
from camcaffe.ilsvrc.synsets import Synsets
from camcaffe.matlab import loadmat
from camcaffe.run_store import ImageResult, RankedClass, RunStore

SYNSETS = Synsets(WNIDS, WORDS, "meta.mat")


def results(boxes_by_class):
    return tuple(
        RankedClass(index, 0.5, np.array(boxes).reshape(-1, 4)) for index, boxes in boxes_by_class.items()
    )


@pytest.fixture
def store(tmp_path):
    # Caffe's order of the classes is that of the WordNet ids, and not the devkit's.
    with RunStore.write(tmp_path / "run.sqlite", {}, [f"{wnid} words" for wnid in sorted(WNIDS)]) as run:
        yield run


def test_the_chain_from_the_originals_boxes_to_its_prediction_files(mini, reference, tmp_path):
    predictions = json.loads((mini / "reference/predictions.json").read_text())
    labels = loadmat(reference / "cam_repo/categories1000.mat")["categories"].ravel()
    synsets = read_synsets(mini / "devkit")
    with RunStore.write(tmp_path / "run.sqlite", {}, [str(label) for label in labels]) as run:
        run.add(
            ImageResult(
                name, tuple(RankedClass(c["caffe_class"], c["score"], np.array(c["dt_box"])) for c in classes)
            )
            for name, classes in predictions.items()
        )
        for boxes in SETS:
            guesses = RunGuesses(run, synsets, sorted(map(image_key, predictions)), batch=7)
            write_predictions(tmp_path / "pred.txt", guesses.collect(boxes))
            expected = (mini / f"reference/pred_{boxes}.txt").read_bytes()
            assert (tmp_path / "pred.txt").read_bytes() == expected
            assert guesses.one_box == sum(
                len(found["dt_box"]) == 1 for classes in predictions.values() for found in classes
            )


def test_sets_of_one_image(store):
    # Classes 1, 3 and 0 are n02100735, n02119789 and n02096294: ids 2, 1 and 4.
    assert sorted(WNIDS).index("n02100735") == 1
    store.add(
        [
            ImageResult(
                "val/a.JPEG",
                results(
                    {
                        1: [[10, 20, 30, 40], [11, 21, 5, 6], [0, 0, 1, 1]],
                        3: [[1, 2, 3, 4]],
                        0: [[5, 6, 7, 8], [9, 9, 1, 2]],
                    }
                ),
            )
        ]
    )
    guesses = RunGuesses(store, SYNSETS, ["a"])
    ((images, sets),) = list(guesses)
    assert images.tolist() == [0]
    assert sets["loose"].labels.tolist() == [[2, 1, 4]]
    assert sets["loose"].boxes.tolist() == [[[10, 20, 40, 60], [1, 2, 4, 6], [5, 6, 12, 14]]]
    assert sets["tight"].labels.tolist() == [[2, 1, 4]]
    assert sets["tight"].boxes.tolist() == [[[11, 21, 16, 27], [1, 2, 4, 6], [9, 9, 10, 11]]]
    assert sets["combined"].labels.tolist() == [[2, 2, 1]]
    assert sets["combined"].boxes.tolist() == [[[10, 20, 40, 60], [11, 21, 16, 27], [1, 2, 4, 6]]]
    assert (guesses.one_box, guesses.no_box, guesses.failed, guesses.others) == (1, 0, [], 0)


def test_images_come_in_the_order_of_the_truth(store):
    store.add(
        ImageResult(f"{name}.JPEG", results({index: [[index, 0, 9, 9]]})) for index, name in enumerate("abcd")
    )
    found = RunGuesses(store, SYNSETS, ["d", "b", "c"], batch=2)
    predictions = found.collect("loose")
    assert predictions.boxes[:, 0, 0].tolist() == [3, 1, 2]
    assert found.others == 1


def test_an_image_that_failed_has_no_guesses(store):
    store.add(
        [
            ImageResult("a.JPEG", results({0: [[1, 2, 3, 4]], 1: [[1, 2, 3, 4]]})),
            ImageResult("b.JPEG", failure="cut short"),
            ImageResult("c.JPEG", results({2: []})),
        ]
    )
    guesses = RunGuesses(store, SYNSETS, ["a", "b", "c"])
    predictions = guesses.collect("combined")
    assert guesses.collect("loose").labels.tolist() == [[4, 2], [0, 0], [3, 0]]
    assert guesses.failed == ["b.JPEG"]
    assert guesses.no_box == 1
    assert predictions.labels.tolist() == [[4, 4], [0, 0], [3, 0]]
    # A class without a box keeps its place, and its box lies before the first pixel.
    assert predictions.boxes[1:, 0].tolist() == [[0, 0, 0, 0], [-1, -1, -1, -1]]


def test_a_run_that_did_not_go_through_is_refused(store):
    store.add([ImageResult("a.JPEG", results({0: [[1, 2, 3, 4]]}))])
    with pytest.raises(
        CamcaffeError, match=r"run\.sqlite: 1 of 3 images, without b; expected a run that went"
    ):
        RunGuesses(store, SYNSETS, ["a", "b", "c"]).collect("loose")


def test_an_image_from_two_folders_is_refused(store):
    store.add(ImageResult(name, results({0: [[1, 2, 3, 4]]})) for name in ("x/a.JPEG", "y/a.png"))
    with pytest.raises(CamcaffeError, match=r"run\.sqlite: both x/a\.JPEG and y/a\.png"):
        RunGuesses(store, SYNSETS, ["a"]).collect("loose")


def test_labels_of_another_benchmark_are_refused(tmp_path):
    write_run(tmp_path / "run.sqlite", labels=["n02119789 kit fox", "abbey", "airport"])
    with RunStore.read(tmp_path / "run.sqlite") as run:  # noqa: SIM117
        with pytest.raises(CamcaffeError, match=r"run\.sqlite, class 1: unknown class 'abbey'"):
            RunGuesses(run, SYNSETS, list(IMAGES))
