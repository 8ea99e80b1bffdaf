import time

import numpy as np
import pytest
from ilsvrc_files import IMAGES, SIZE, WNIDS, annotation_xml, write_cache, write_solution

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.annotations import read_annotations, read_cache, read_solution, read_xml_folder
from camcaffe.ilsvrc.synsets import read_meta


@pytest.fixture
def synsets(small):
    return read_meta(small.meta)


def as_dict(annotations):
    found = {name: [] for name in annotations.names}
    for owner, label, box in zip(annotations.owners, annotations.labels, annotations.boxes):
        found[annotations.names[owner]].append((int(label), tuple(box.astype(int))))
    return found


EXPECTED = {name: [(label, box) for box in boxes] for name, (label, boxes) in IMAGES.items()}


def test_xml_folder(small, synsets):
    (small.boxes / "readme.txt").write_text("not an annotation")
    annotations = read_xml_folder(small.boxes, synsets)
    assert as_dict(annotations) == EXPECTED
    assert annotations.sizes.tolist() == [list(SIZE)] * 5


def test_solution_csv_has_its_rows_in_any_order(small, synsets):
    path = small.tmp / "LOC_val_solution.csv"
    write_solution(path)
    assert as_dict(read_solution(path, synsets)) == EXPECTED


def test_cache_of_the_devkit(small, synsets):
    path = small.tmp / "cache_groundtruth.mat"
    write_cache(path)
    annotations = read_cache(path, synsets)
    assert annotations.names is None
    assert annotations.images == 5
    assert as_dict(read_cache(path, synsets, small.names)) == EXPECTED
    with pytest.raises(CamcaffeError, match=r"cache_groundtruth\.mat: 5 images; expected 3"):
        read_cache(path, synsets, small.names[:3])


def test_the_form_is_told_by_the_path(small, synsets):
    write_solution(small.tmp / "solution.csv")
    write_cache(small.tmp / "cache.mat")
    for path in (small.boxes, small.tmp / "solution.csv", small.tmp / "cache.mat"):
        assert as_dict(read_annotations(path, synsets, small.names)) == EXPECTED


def test_the_wanted_images_only_and_in_their_order(small, synsets):
    write_solution(small.tmp / "solution.csv")
    wanted = small.names[3:0:-1]
    for path in (small.boxes, small.tmp / "solution.csv"):
        assert list(as_dict(read_annotations(path, synsets, wanted)).items()) == [
            (name, EXPECTED[name]) for name in wanted
        ]


def test_real_annotations(mini):
    synsets = read_meta(mini / "devkit/data/meta_clsloc.mat")
    annotations = read_xml_folder(mini / "val_bbox", synsets)
    assert annotations.images == 200
    assert annotations.names[0] == "ILSVRC2012_val_00000361"
    assert annotations.boxes[0].tolist() == [83, 81, 419, 311]
    assert annotations.sizes[0].tolist() == [500, 349]
    assert synsets.wnids[annotations.labels[0] - 1] == "n02165105"
    text = "".join(path.read_text() for path in sorted((mini / "val_bbox").iterdir()))
    assert len(annotations.boxes) == text.count("<bndbox>")
    assert annotations.boxes.sum() == sum(
        int(part.split("</")[0])
        for corner in ("xmin", "ymin", "xmax", "ymax")
        for part in text.split(f"<{corner}>")[1:]
    )


BROKEN_XML = [
    ((50, 20, 40, 79), "line 17: xmax 40 is less than xmin 50; expected corners in order"),
    ((10, 90, 40, 79), "line 17: ymax 79 is less than ymin 90"),
    (("ten", 20, 40, 79), "line 17: xmin is 'ten'; expected a number of pixels"),
    (("", 20, 40, 79), "line 17: xmin is ''"),
    ((10, 20, "nan", 79), "line 17: xmax is 'nan'"),
    ((10, "-inf", 40, 79), "line 17: ymin is '-inf'"),
    ((10, 20, 40, "1e300"), "line 17: ymax is '1e300'"),
    ((10, 20, 40, "9" * 5000), "line 17: ymax is '9{37}...'"),
]


@pytest.mark.parametrize(("box", "message"), BROKEN_XML)
def test_a_broken_box_names_file_and_line(small, synsets, box, message):
    path = small.boxes / f"{small.names[2]}.xml"
    path.write_text(annotation_xml([(WNIDS[1], (5, 5, 24, 44)), (WNIDS[1], box)]))
    # Eight lines before the first object, nine an object: the second begins in line 17.
    assert path.read_text().splitlines()[16] == "<object>"
    with pytest.raises(CamcaffeError, match=f"00000003.xml, {message}"):
        read_xml_folder(small.boxes, synsets)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<xmax>24</xmax>\n", ""), "line 8: no xmax; expected a number of pixels"),
        (("<bndbox>", "<box>"), "line 15: not well-formed XML .mismatched tag"),
        (("<name>n02100735</name>", "<name>n99999999</name>"), "line 8: unknown class 'n99999999'"),
        (("<name>n02100735</name>\n", ""), "line 8: unknown class ''"),
        (("<width>200</width>", "<width>0</width>"), "a size of 0 x 140"),
        (("size>", "extent>"), "no size; expected the image's width and height"),
        (("<width>200</width>", "<width>wide</width>"), "width is 'wide'"),
        (("<width>200</width>\n", ""), "no width"),
        (("</annotation>", ""), "line 18: not well-formed XML .no element found"),
        (("annotation>", "html>"), "line 1: an element <html>; expected an ILSVRC annotation"),
        (("<annotation>", '<!DOCTYPE a [<!ENTITY a "aaaa">]><annotation>'), "declares a document type"),
        (
            ("<folder>val</folder>", "<folder>" + "x" * 2**20 + "</folder>"),
            r"\d+ bytes; expected an ILSVRC annotation, at most 1048576 bytes",
        ),
    ],
)
def test_a_broken_annotation_names_file_and_line(small, synsets, change, message):
    path = small.boxes / f"{small.names[2]}.xml"
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(CamcaffeError, match=f"00000003.xml[,:] {message}|00000003.xml: .*{message}"):
        read_xml_folder(small.boxes, synsets)


def test_an_object_without_a_box_is_named(small, synsets):
    path = small.boxes / f"{small.names[2]}.xml"
    path.write_text(path.read_text().replace("bndbox>", "box>"))
    with pytest.raises(CamcaffeError, match=r"00000003\.xml, line 8: an object without a bndbox"):
        read_xml_folder(small.boxes, synsets)


def test_entities_are_not_expanded_in_any_encoding(small, synsets):
    bomb = '<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    for level in range(12):
        bomb += f'<!ENTITY a{level} "{(f"&a{level - 1};" if level else "&a;") * 10}">'
    bomb += "]><annotation><folder>&a11;</folder></annotation>"
    path = small.boxes / f"{small.names[0]}.xml"
    began = time.perf_counter()
    for data, message in (
        (bomb.encode(), "declares a document type"),
        (bomb.encode("utf-16"), "not UTF-8 text"),
        (bomb.encode("utf-16-be"), "not UTF-8 text"),
        (bomb.encode("utf-16-le"), "not UTF-8 text"),
    ):
        path.write_bytes(data)
        with pytest.raises(CamcaffeError, match=f"00000001.xml.*({message})"):
            read_xml_folder(small.boxes, synsets)
    assert time.perf_counter() - began < 5


def test_missing_annotations_are_named(small, synsets):
    with pytest.raises(CamcaffeError, match=r"ILSVRC2012_val_00000009\.xml: no such file"):
        read_xml_folder(small.boxes, synsets, ["ILSVRC2012_val_00000009"])
    with pytest.raises(CamcaffeError, match="devkit: no XML file; expected a folder of ILSVRC annotations"):
        read_annotations(small.devkit, synsets)
    with pytest.raises(CamcaffeError, match="nowhere: no such file"):
        read_annotations(small.tmp / "nowhere", synsets)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,n02119789 1 2 3", "line 3: no boxes; expected an image, a comma"),
        ("a", "line 3: no boxes"),
        ("a,", "line 3: no boxes"),
        ("a,n99999999 1 2 3 4", "line 3: unknown class 'n99999999'"),
        ("a,n02119789 1 2 3 four", "line 3: ymax is 'four'"),
        ("a,n02119789 9 2 3 4", "line 3: xmax 3 is less than xmin 9"),
        ("b,n02119789 1 2 3 4", "line 3: b again; expected each image once"),
    ],
)
def test_a_broken_solution_names_file_and_line(small, synsets, row, message):
    path = small.tmp / "LOC_val_solution.csv"
    path.write_text(f"ImageId,PredictionString\nb,n02119789 1 2 3 4\n{row}\n")
    with pytest.raises(CamcaffeError, match=f"LOC_val_solution.csv, {message}"):
        read_solution(path, synsets)


def test_another_csv_is_refused(small, synsets):
    path = small.tmp / "sizes.csv"
    path.write_text("image,width,height\n")
    with pytest.raises(CamcaffeError, match=r"sizes\.csv, line 1: another header"):
        read_solution(path, synsets)
    write_solution(path)
    with pytest.raises(CamcaffeError, match=r"sizes\.csv: no row for image cat"):
        read_solution(path, synsets, ["cat"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"a": (5, [(1, 2, 3, 4)])}, "image 1: an object without a label; expected an id from 1 to 4"),
        ({"a": (1.5, [(1, 2, 3, 4)])}, "image 1: an object without a label"),
        ({"a": (1, [(1, 2, 3)])}, "image 1: an object without a bbox"),
        ({"a": (1, [(1, 2, 3, 4)]), "b": (1, [(1, 2, 3, float("nan"))])}, "image 2: ymax is 'nan'"),
        ({"a": (1, [(4, 2, 3, 4)])}, "image 1: xmax 3 is less than xmin 4"),
    ],
)
def test_a_broken_cache_names_the_image(small, synsets, images, message):
    path = small.tmp / "cache.mat"
    write_cache(path, images)
    with pytest.raises(CamcaffeError, match=f"cache.mat, {message}"):
        read_cache(path, synsets)


def test_another_mat_file_is_refused(small, synsets):
    from scipy.io import savemat

    with pytest.raises(CamcaffeError, match=r"meta_clsloc\.mat: no variable 'rec'"):
        read_cache(small.meta, synsets)
    savemat(small.tmp / "cache.mat", {"rec": np.zeros((2, 3))})
    with pytest.raises(CamcaffeError, match=r"cache\.mat: something else than structs"):
        read_cache(small.tmp / "cache.mat", synsets)
