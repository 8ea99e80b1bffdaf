"""The classes of a benchmark: WordNet ids and the numbers that its files use for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from camcaffe import files
from camcaffe.errors import CamcaffeError, at
from camcaffe.ilsvrc.lines import read_lines

_WNID = r"n\d{8}"


@dataclass(frozen=True)
class Synsets:
    """Classes in the order of their ids: the id of a class is its position, counted from 1.

    The ids are those of the benchmark's own files, not Caffe's class indices: ILSVRC's id 1 is the kit
    fox, Caffe's index 0 the tench.

    Attributes:
        wnids: WordNet ids, e.g. "n02119789" (CUB-200-2011 and own data: class names).
        words: what each means in words.
        source: the file that they came from.
    """

    wnids: tuple[str, ...]
    words: tuple[str, ...]
    source: str
    _ids: dict = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        ids: dict[str, int] = {}
        for position, wnid in enumerate(self.wnids, 1):
            if wnid in ids:
                raise CamcaffeError(
                    self.source, f"class {wnid} has the ids {ids[wnid]} and {position}", "one id"
                )
            ids[wnid] = position
        object.__setattr__(self, "_ids", ids)

    def __len__(self) -> int:
        return len(self.wnids)

    def id_of(self, wnid: str, place: str) -> int:
        """The id of a class.

        Raises:
            CamcaffeError: there is no such class; the line names `place`.
        """
        try:
            return self._ids[wnid]
        except KeyError:
            raise CamcaffeError(
                place, f"unknown class {wnid!r}", f"one of the classes in {self.source}"
            ) from None

    @classmethod
    def of_labels(cls, labels: Sequence[str], source: str) -> Synsets:
        """The classes of a category list, each named by its WordNet id or else by the whole line.

        Raises:
            CamcaffeError: two lines name one class.
        """
        with_wnid = [re.match(_WNID, label) is not None for label in labels]
        return cls(
            tuple(label[:9] if found else label for label, found in zip(labels, with_wnid)),
            tuple(label[9:].strip() if found else label for label, found in zip(labels, with_wnid)),
            source,
        )

    def ids_of_labels(self, labels: Sequence[str], place: str) -> list[int]:
        """The ids of Caffe's classes, from the lines of its category list.

        The WordNet id is the line's first nine characters, "n01440764 tench, Tinca tinca", as in the
        original ILSVRC_evaluate_bbox.m; a line without one names its class by the whole line or, where
        no class is called so, by its first word.

        Raises:
            CamcaffeError: a line names a class that these do not have.
        """
        return [
            self.id_of(label if label in self._ids else _wnid(label), f"{place}, class {index}")
            for index, label in enumerate(labels)
        ]


def read_meta(path: files.PathLike) -> Synsets:
    """The `synsets` of a devkit's meta_clsloc.mat (ILSVRC 2013 on) or meta.mat (2012).

    A struct array whose entries hold, for 2014::

        ILSVRC2014_ID: 1, WNID: 'n02119789', words: 'kit fox, Vulpes macrotis'

    Raises:
        CamcaffeError: the file is missing or something else, or an id is not its entry's position.
    """
    from camcaffe.matlab import loadmat

    entries = loadmat(path).get("synsets")
    if entries is None:
        raise CamcaffeError(path, "no variable 'synsets'", "a devkit's meta_clsloc.mat or meta.mat")
    wnids, words = [], []
    for position, entry in enumerate([entries] if isinstance(entries, dict) else entries.ravel(), 1):
        place = f"{path}, synset {position}"
        if not isinstance(entry, dict) or not isinstance(entry.get("WNID"), str):
            raise CamcaffeError(place, "no WNID", "a devkit's synset")
        number = next((value for name, value in entry.items() if re.fullmatch(r"ILSVRC\w*_ID", name)), None)
        if number is None or number.size != 1 or number.item() != position:
            raise CamcaffeError(place, "its ILSVRC id is not its position", f"{position}")
        wnids.append(entry["WNID"])
        words.append(str(entry.get("words", entry.get("name", ""))))
    return Synsets(tuple(wnids), tuple(words), str(path))


def read_synset_mapping(path: files.PathLike) -> Synsets:
    """The classes of Kaggle's LOC_synset_mapping.txt; a class's id is its line, which is Caffe's index + 1::

        n01440764 tench, Tinca tinca
        n01443537 goldfish, Carassius auratus

    Raises:
        CamcaffeError: the file is missing, or a line does not begin with a WordNet id.
    """
    wnids, words = [], []
    for number, line in enumerate(read_lines(path, "Kaggle's LOC_synset_mapping.txt"), 1):
        wnid, _, rest = line.partition(" ")
        if not re.fullmatch(_WNID, wnid):
            raise CamcaffeError(at(path, number), f"begins with {wnid[:40]!r}", "a WordNet id like n01440764")
        wnids.append(wnid)
        words.append(rest.strip())
    return Synsets(tuple(wnids), tuple(words), str(path))


def _wnid(label: str) -> str:
    if re.match(_WNID, label):
        return label[:9]
    return label.split()[0] if label.split() else label
