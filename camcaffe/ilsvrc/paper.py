"""The error rates that the paper reports (Zhou et al., CVPR 2016), in per cent."""

from __future__ import annotations

from typing import NamedTuple


class PaperRow(NamedTuple):
    """One row of a table of the paper.

    Attributes:
        name: what the row is called there.
        network: the network, by its name in the paper; "" where the result is others' work.
        method: how it localizes: "cam", "backprop", or "" where it only classifies or is others' work.
        boxes: "loose" for one box a class, "combined" for the paper's heuristic; "" where it has none.
        top1, top5: error with the first guess and with five; None where the table does not say it.
    """

    name: str
    network: str
    method: str
    boxes: str
    top1: float | None
    top5: float | None


# Table 1: classification error on the validation set.
CLASSIFICATION = tuple(
    PaperRow(name, name, "", "", top1, top5)
    for name, top1, top5 in (
        ("VGGnet-GAP", 33.4, 12.2),
        ("GoogLeNet-GAP", 35.0, 13.2),
        ("AlexNet*-GAP", 44.9, 20.9),
        ("AlexNet-GAP", 51.1, 26.3),
        ("GoogLeNet", 31.9, 11.3),
        ("VGGnet", 31.2, 11.4),
        ("AlexNet", 42.6, 19.5),
        ("NIN", 41.9, 19.6),
        ("GoogLeNet-GMP", 35.6, 13.9),
    )
)

# Table 2: localization error on the validation set, one box a class.
LOCALIZATION = (
    PaperRow("GoogLeNet-GAP", "GoogLeNet-GAP", "cam", "loose", 56.40, 43.00),
    PaperRow("VGGnet-GAP", "VGGnet-GAP", "cam", "loose", 57.20, 45.14),
    PaperRow("GoogLeNet", "GoogLeNet", "cam", "loose", 60.09, 49.34),
    PaperRow("AlexNet*-GAP", "AlexNet*-GAP", "cam", "loose", 63.75, 49.53),
    PaperRow("AlexNet-GAP", "AlexNet-GAP", "cam", "loose", 67.19, 52.16),
    PaperRow("NIN", "NIN", "cam", "loose", 65.47, 54.19),
    PaperRow("Backprop on GoogLeNet", "GoogLeNet", "backprop", "loose", 61.31, 50.55),
    PaperRow("Backprop on VGGnet", "VGGnet", "backprop", "loose", 61.12, 51.46),
    PaperRow("Backprop on AlexNet", "AlexNet", "backprop", "loose", 65.17, 52.64),
    PaperRow("GoogLeNet-GMP", "GoogLeNet-GMP", "cam", "loose", 57.78, 45.26),
)

# Table 3: localization error on the test set, of which only the evaluation server knows the truth.
TEST_LOCALIZATION = (
    PaperRow("GoogLeNet-GAP (heuristics)", "GoogLeNet-GAP", "cam", "combined", None, 37.1),
    PaperRow("GoogLeNet-GAP", "GoogLeNet-GAP", "cam", "loose", None, 42.9),
    PaperRow("Backprop", "", "", "", None, 46.4),
    PaperRow("GoogLeNet (fully supervised)", "", "", "", None, 26.7),
    PaperRow("OverFeat (fully supervised)", "", "", "", None, 29.9),
    PaperRow("AlexNet (fully supervised)", "", "", "", None, 34.2),
)
