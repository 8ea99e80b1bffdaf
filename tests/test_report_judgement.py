import numpy as np
import pytest
from ilsvrc_files import WNIDS, write_benchmark, write_run
from report_files import write_reference_run

from camcaffe.ilsvrc.truth import read_truth
from camcaffe.report.examples import choose_examples
from camcaffe.report.judgement import judge, worst_classes
from camcaffe.run_store import RunStore


@pytest.fixture
def small(tmp_path):
    benchmark = write_benchmark(tmp_path)
    write_run(tmp_path / "run.sqlite")
    with RunStore.read(tmp_path / "run.sqlite") as run:
        yield judge(run, read_truth(benchmark.devkit, benchmark.boxes))


@pytest.fixture
def full(reference, tmp_path):
    mini = reference / "mini_ilsvrc"
    write_reference_run(tmp_path / "run.sqlite", mini)
    with RunStore.read(tmp_path / "run.sqlite") as run:
        yield judge(run, read_truth(mini / "devkit", mini / "val_bbox"))


def test_overlaps_of_the_images_own_class_by_hand(small):
    # The run has true boxes, as (x, y, w, h) = (xmin, ymin, xmax - xmin, ymax - ymin), first; image 4 second.
    assert small.ranks.tolist() == [1, 1, 2, 1, 1]
    assert small.iou["loose"][[0, 1, 2, 4]].tolist() == [1, 1, 1, 1]
    assert small.iou["loose"][3] == 0
    assert small.iou["tight"][3] == 1
    # [0, 0, 5, 5] are 6 x 6 pixels of the 100 x 60 that image 5 has.
    assert small.iou["tight"][4] == 36 / 6000
    assert small.first[[0, 1, 3, 4]].tolist() == small.truth.labels[[0, 1, 3, 4]].tolist()
    assert small.first[2] != small.truth.labels[2]


def test_overlaps_agree_with_the_errors(full):
    located = np.nan_to_num(full.iou["loose"], nan=-1) >= 0.5
    assert (located == ~full.errors["loose"].box_wrong[:, 4]).all()
    assert (np.isnan(full.iou["tight"]) == (full.ranks == 0)).all()
    right = full.ranks == 1
    assert right.sum() == 200 - 73
    assert (full.first[right] == full.truth.labels[right]).all()


def test_worst_classes(small):
    classes = worst_classes(small, 10)
    # Image 2, of class 1, is blacklisted; image 4, of class 4, has a wrong loose box, and no other is wrong.
    assert [(found.id, found.images, found.box_top5) for found in classes] == [
        (4, 1, 1),
        (2, 2, 0),
        (1, 1, 0),
    ]
    assert [found.class_top5 for found in classes] == [0, 0, 0]
    assert [found.class_top1 for found in classes] == [0, 0.5, 0]
    # Image 3 is taken for the class that follows its own in Caffe's order.
    order = sorted(WNIDS)
    after = order[(order.index(WNIDS[1]) + 1) % len(order)]
    assert [found.taken_for for found in classes] == [None, (WNIDS.index(after) + 1, 1), None]
    assert worst_classes(small, 1) == classes[:1]


def test_examples_are_of_their_kinds_and_a_seed_gives_them_again(full):
    located, box_alone, missed = choose_examples(full, 9, seed=3)
    wrong = full.errors["loose"]
    assert not wrong.box_wrong[located.images, 4].any()
    assert wrong.box_wrong[box_alone.images, 4].all()
    assert not wrong.class_wrong[box_alone.images, 4].any()
    assert wrong.class_wrong[missed.images, 4].all()
    assert [len(set(kind.images.tolist())) for kind in (located, box_alone, missed)] == [9, 9, 9]
    assert sum(kind.total for kind in (located, box_alone, missed)) == 198
    again, other = choose_examples(full, 9, seed=3), choose_examples(full, 9, seed=4)
    assert all((one.images == two.images).all() for one, two in zip(again, (located, box_alone, missed)))
    assert any((one.images != two.images).any() for one, two in zip(other, (located, box_alone, missed)))


def test_examples_leave_out_blacklisted_and_failed_images(tmp_path):
    benchmark = write_benchmark(tmp_path)
    write_run(tmp_path / "run.sqlite", failed=benchmark.names[:1])
    with RunStore.read(tmp_path / "run.sqlite") as run:
        found = judge(run, read_truth(benchmark.devkit, benchmark.boxes))
    located, box_alone, missed = choose_examples(found, 9)
    assert located.images.tolist() == [2, 4]
    assert box_alone.images.tolist() == [3]
    assert (missed.total, missed.images.tolist()) == (1, [])
