import numpy as np
import pytest
from ilsvrc_files import IMAGES, WNIDS, annotation_xml, write_cache, write_solution

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.truth import read_truth


def test_small_benchmark(small):
    truth = read_truth(small.devkit, small.boxes)
    assert truth.names == small.names
    assert truth.labels.tolist() == [label for label, _ in IMAGES.values()]
    assert [truth.boxes_of(image).tolist() for image in range(5)] == [
        [list(box) for box in boxes] for _, boxes in IMAGES.values()
    ]
    assert truth.blacklisted.tolist() == [False, True, False, False, False]
    assert truth.sizes[0].tolist() == [200, 140]
    assert len(truth) == 5


def test_boxes_of_other_classes_do_not_count(small):
    objects = [(WNIDS[0], (0, 0, 9, 9)), (WNIDS[1], (5, 5, 24, 44)), (WNIDS[3], (1, 1, 2, 2))]
    (small.boxes / f"{small.names[2]}.xml").write_text(annotation_xml(objects))
    truth = read_truth(small.devkit, small.boxes)
    assert truth.boxes_of(2).tolist() == [[5, 5, 24, 44]]
    assert truth.boxes_of(3).tolist() == [[30, 40, 199, 139]]


def test_all_forms_of_boxes_say_the_same(small):
    write_solution(small.tmp / "solution.csv")
    write_cache(small.tmp / "cache.mat")
    first = read_truth(small.devkit, small.boxes)
    for path in (small.tmp / "solution.csv", small.tmp / "cache.mat"):
        truth = read_truth(small.devkit, path)
        np.testing.assert_array_equal(truth.boxes, first.boxes)
        np.testing.assert_array_equal(truth.offsets, first.offsets)
        np.testing.assert_array_equal(truth.labels, first.labels)


def test_kaggles_files_alone(small, tmp_path):
    kaggle = tmp_path / "kaggle"
    kaggle.mkdir()
    (kaggle / "LOC_synset_mapping.txt").write_text("".join(f"{wnid} words\n" for wnid in sorted(WNIDS)))
    write_solution(kaggle / "LOC_val_solution.csv")
    truth = read_truth(kaggle, kaggle / "LOC_val_solution.csv")
    devkit = read_truth(small.devkit, small.boxes)
    assert [truth.synsets.wnids[label - 1] for label in truth.labels] == [
        devkit.synsets.wnids[label - 1] for label in devkit.labels
    ]
    np.testing.assert_array_equal(truth.boxes, devkit.boxes)
    assert not truth.blacklisted.any()


def test_a_list_says_which_image_a_line_is_about(small):
    order = [3, 0, 4, 2, 1]
    labels = [IMAGES[small.names[image]][0] for image in order]
    small.ground_truth.write_text("".join(f"{label}\n" for label in labels))
    image_list = small.tmp / "list.txt"
    image_list.write_text("".join(f"val/{small.names[image]}.JPEG 7\n" for image in order))
    truth = read_truth(small.devkit, small.boxes, image_list)
    assert truth.names == [small.names[image] for image in order]
    assert truth.boxes_of(0).tolist() == [[30, 40, 199, 139]]
    with pytest.raises(
        CamcaffeError, match=r"00000001 has no box of its class, n02096294 .line 1 of .*ground_truth"
    ):
        read_truth(small.devkit, small.boxes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a.JPEG\nb.JPEG\nval/a.JPEG\n",
            r"line 3: val/a\.JPEG again; expected each image once .line 1 has it",
        ),
        ("a.JPEG\n\nb.JPEG\n", "line 2: an empty line; expected the name of an image"),
    ],
)
def test_a_broken_list_names_the_line(small, text, message):
    image_list = small.tmp / "list.txt"
    image_list.write_text(text)
    with pytest.raises(CamcaffeError, match=f"list.txt, {message}"):
        read_truth(small.devkit, small.boxes, image_list)


def test_as_many_images_as_lines(small):
    (small.boxes / f"{small.names[4]}.xml").unlink()
    with pytest.raises(
        CamcaffeError, match=r"val_bbox: 4 images; expected 5, as .*ground_truth\.txt has lines"
    ):
        read_truth(small.devkit, small.boxes)
    image_list = small.tmp / "list.txt"
    image_list.write_text("".join(f"{name}.JPEG\n" for name in small.names[:3]))
    with pytest.raises(CamcaffeError, match=r"list\.txt: 3 images; expected 5"):
        read_truth(small.devkit, small.boxes, image_list)


def test_a_blacklisted_image_need_not_have_a_box(small):
    (small.boxes / f"{small.names[1]}.xml").write_text(annotation_xml([]))
    truth = read_truth(small.devkit, small.boxes)
    assert truth.boxes_of(1).shape == (0, 4)
    (small.boxes / f"{small.names[2]}.xml").write_text(annotation_xml([]))
    with pytest.raises(
        CamcaffeError, match="val_bbox: ILSVRC2012_val_00000003 has no box of its class, n02100735"
    ):
        read_truth(small.devkit, small.boxes)


def test_a_blacklist_of_everything_is_refused(small):
    small.blacklist.write_text("1\n2\n3\n4\n5\n")
    with pytest.raises(CamcaffeError, match=r"blacklist\.txt: lists every image"):
        read_truth(small.devkit, small.boxes)


def test_kaggles_images_have_one_class(small, tmp_path):
    kaggle = tmp_path / "kaggle"
    kaggle.mkdir()
    (kaggle / "LOC_synset_mapping.txt").write_text("".join(f"{wnid} words\n" for wnid in WNIDS))
    solution = kaggle / "LOC_val_solution.csv"
    solution.write_text(f"ImageId,PredictionString\na,{WNIDS[0]} 1 2 3 4 {WNIDS[1]} 1 2 3 4\n")
    with pytest.raises(CamcaffeError, match=r"solution\.csv: a has boxes of two classes"):
        read_truth(kaggle, solution)
