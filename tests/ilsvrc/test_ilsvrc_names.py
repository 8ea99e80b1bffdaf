import pytest

from camcaffe.ilsvrc.names import ImageNames, path_tails


@pytest.mark.parametrize(
    ("path", "tails"),
    [
        ("a.jpg", ["a"]),
        ("./val//cat/a.b.PNG", ["val/cat/a.b", "cat/a.b", "a.b"]),
        ("/data/cat\\a", ["data/cat/a", "cat/a", "a"]),
    ],
)
def test_tails(path, tails):
    assert list(path_tails(path)) == tails


NAMES = ImageNames(["cat/1", "dog/1", "dog/2", "3"])


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("cat/1.jpg", 0),
        ("/my/images/val/dog/1.jpg", 1),  # the list begins lower
        ("2.png", 2),  # the list begins higher
        ("bird/3.jpg", 3),
        ("1.jpg", None),  # of a cat or of a dog
        ("bird/1.jpg", None),
        ("bird/2.jpg", None),
        ("xdog/2.jpg", None),
    ],
)
def test_one_path_ends_in_the_other(path, place):
    assert NAMES.find(path) == place
