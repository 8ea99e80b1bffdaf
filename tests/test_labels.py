import numpy as np
import pytest
import scipy.io

from camcaffe import CamcaffeError
from camcaffe.labels import read_labels


def test_the_authors_lists(reference):
    imagenet = read_labels(reference / "cam_repo" / "data_net.mat")
    assert imagenet == read_labels(reference / "cam_repo" / "categories1000.mat")
    assert imagenet[0] == "n01440764 tench, Tinca tinca"
    assert len(imagenet) == 1000
    assert len(read_labels(reference / "cam_repo" / "categories_places205.mat")) == 205


def test_text(tmp_path):
    (tmp_path / "labels.txt").write_text("# comment\none\n\nzwei öä\r\n", encoding="utf-8-sig")
    assert read_labels(tmp_path / "labels.txt") == ("one", "zwei öä")


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        (None, "no cell array 'categories'"),
        (np.array([[1.0], ["a"]], dtype=object), "'categories' holds other things than text"),
    ],
)
def test_refuses_mat_files_without_a_list(tmp_path, categories, message):
    variables = {"other": 1} if categories is None else {"categories": categories}
    scipy.io.savemat(tmp_path / "labels.mat", variables)
    with pytest.raises(CamcaffeError, match=rf"labels\.mat: ({message}).*expected"):
        read_labels(tmp_path / "labels.mat")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xfe\x00", "not text in UTF-8"), (b"# nothing\n\n", "the file has no label"), (b"", "is empty")],
)
def test_refuses_text_without_a_list(tmp_path, content, message):
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(CamcaffeError, match=rf"labels\.txt: .*{message}"):
        read_labels(tmp_path / "labels.txt")
