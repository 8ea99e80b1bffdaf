"""Many images to one run: read, ten crops, net, maps and boxes overlap; a run that was killed goes on."""

from camcaffe.localize.heatmap_folder import HeatmapFolder, write_predictions
from camcaffe.localize.images import StoredImage, find_images, read_sizes, refuse_twins, with_sizes
from camcaffe.localize.localizer import Localizer, Settings, sha256
from camcaffe.localize.pipeline import overlapped, record

__all__ = [
    "HeatmapFolder",
    "Localizer",
    "Settings",
    "StoredImage",
    "find_images",
    "overlapped",
    "read_sizes",
    "record",
    "refuse_twins",
    "sha256",
    "with_sizes",
    "write_predictions",
]
