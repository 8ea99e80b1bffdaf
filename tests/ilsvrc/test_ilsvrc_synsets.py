import numpy as np
import pytest
from ilsvrc_files import WNIDS, WORDS, write_meta

from camcaffe.errors import CamcaffeError
from camcaffe.ilsvrc.devkit import read_synsets
from camcaffe.ilsvrc.synsets import read_meta, read_synset_mapping


@pytest.mark.parametrize("year", [2012, 2013, 2014])
def test_meta_of_every_year(tmp_path, year):
    path = tmp_path / "meta.mat"
    write_meta(path, year=year)
    synsets = read_meta(path)
    assert synsets.wnids == WNIDS
    assert synsets.words == WORDS
    assert synsets.id_of("n02110185", "here") == 3


def test_ids_are_the_devkits_and_not_caffes(mini, reference):
    from camcaffe.matlab import loadmat

    synsets = read_synsets(mini / "devkit")
    assert synsets.wnids[0] == "n02119789"
    categories = [
        str(line) for line in loadmat(reference / "cam_repo/categories1000.mat")["categories"].ravel()
    ]
    ids = synsets.ids_of_labels(categories, "categories1000.mat")
    assert sorted(ids) == list(range(1, 1001))
    assert categories[0].startswith(synsets.wnids[ids[0] - 1])
    assert ids[0] != 1


def test_kaggles_mapping_numbers_classes_by_line(tmp_path):
    path = tmp_path / "LOC_synset_mapping.txt"
    path.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n")
    synsets = read_synset_mapping(path)
    assert synsets.id_of("n01443537", "here") == 2
    assert synsets.words[0] == "tench, Tinca tinca"
    assert read_synsets(tmp_path) == synsets == read_synsets(path)


def test_labels_name_classes_by_wnid_or_first_word(tmp_path):
    write_meta(tmp_path / "meta.mat", wnids=("n02119789", "001.Black_footed_Albatross"), words=("", ""))
    synsets = read_meta(tmp_path / "meta.mat")
    assert synsets.ids_of_labels(["001.Black_footed_Albatross", "n02119789,kit fox"], "list") == [2, 1]
    with pytest.raises(
        CamcaffeError, match=r"list, class 1: unknown class 'n00000000'; expected one .*meta\.mat"
    ):
        synsets.ids_of_labels(["n02119789", "n00000000 nothing"], "list")
    with pytest.raises(CamcaffeError, match="list, class 0: unknown class ''"):
        synsets.ids_of_labels([""], "list")


def test_ids_must_be_positions(tmp_path):
    write_meta(tmp_path / "meta.mat", ids=[1, 2, 4, 3])
    with pytest.raises(CamcaffeError, match=r"meta\.mat, synset 3: its ILSVRC id is not its position"):
        read_meta(tmp_path / "meta.mat")


def test_a_class_stands_once(tmp_path):
    write_meta(tmp_path / "meta.mat", wnids=("n02119789", "n02100735", "n02119789"), words=("", "", ""))
    with pytest.raises(CamcaffeError, match=r"meta\.mat: class n02119789 has the ids 1 and 3"):
        read_meta(tmp_path / "meta.mat")


def test_what_is_no_meta_file_is_named(tmp_path):
    from scipy.io import savemat

    path = tmp_path / "meta.mat"
    savemat(path, {"mean_data": np.zeros((2, 3))})
    with pytest.raises(CamcaffeError, match=r"meta\.mat: no variable 'synsets'"):
        read_meta(path)
    savemat(path, {"synsets": np.zeros((2, 3))})
    with pytest.raises(CamcaffeError, match=r"meta\.mat, synset 1: no WNID"):
        read_meta(path)
    mapping = tmp_path / "LOC_synset_mapping.txt"
    mapping.write_text("n01440764 tench\ntench n01440764\n")
    with pytest.raises(CamcaffeError, match=r"mapping\.txt, line 2: begins with 'tench'"):
        read_synset_mapping(mapping)
