"""Many images to one run: read, ten crops, net, maps and boxes overlap; a run that was killed goes on."""

from camcaffe.localize.heatmap_folder import HeatmapFolder, write_predictions
from camcaffe.localize.images import StoredImage, find_images, read_sizes, refuse_twins, with_sizes
from camcaffe.localize.localizer import Localizer, Settings, sha256
from camcaffe.localize.pipeline import overlapped, record
from camcaffe.localize.processes import dask_cluster, device_processes, gpus, spread

__all__ = [
    "HeatmapFolder",
    "Localizer",
    "Settings",
    "StoredImage",
    "dask_cluster",
    "device_processes",
    "find_images",
    "gpus",
    "overlapped",
    "read_sizes",
    "record",
    "refuse_twins",
    "sha256",
    "spread",
    "with_sizes",
    "write_predictions",
]
