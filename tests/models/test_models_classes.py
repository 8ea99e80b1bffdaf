import re

import pytest

from camcaffe import CamcaffeError
from camcaffe.models import class_labels


@pytest.mark.parametrize(
    ("name", "file", "count"),
    [("imagenet", "categories1000.mat", 1000), ("places205", "categories_places205.mat", 205)],
)
def test_labels_are_the_originals(reference, name, file, count):
    scipy_io = pytest.importorskip("scipy.io")
    categories = scipy_io.loadmat(str(reference / "cam_repo" / file))["categories"]
    original = [str(row[0][0]) for row in categories]
    assert list(class_labels(name)) == original
    assert len(original) == count


def test_imagenet_labels_begin_with_the_wnid():
    labels = class_labels("imagenet")
    assert labels[0] == "n01440764 tench, Tinca tinca"
    assert labels[999] == "n15075141 toilet tissue, toilet paper, bathroom tissue"
    assert all(re.match(r"n\d{8} \S", label) for label in labels)
    assert len({label[:9] for label in labels}) == 1000
    assert list(labels) == sorted(labels)  # Caffe's order is that of the WNIDs


def test_a_class_list_that_there_is_not():
    with pytest.raises(CamcaffeError, match=r"coco: no class list .* one of imagenet, places205"):
        class_labels("coco")
