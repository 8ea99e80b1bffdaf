"""A small net with its data and solver, to train in a test."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

NET = """
name: "small"
layer { name: "data" type: "HDF5Data" top: "data" top: "label" include { phase: TRAIN }
        hdf5_data_param { source: "train.txt" batch_size: 4 shuffle: true } }
layer { name: "data" type: "HDF5Data" top: "data" top: "label" include { phase: TEST }
        hdf5_data_param { source: "train.txt" batch_size: 3 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "gap" type: "Pooling" bottom: "norm" top: "gap"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "drop" type: "Dropout" bottom: "gap" top: "gap" dropout_param { dropout_ratio: 0.3 } }
layer { name: "fc" type: "InnerProduct" bottom: "gap" top: "fc"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy"
        include { phase: TEST } }
"""
SOLVER = """
net: "train_val.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 20 display: 5
snapshot: 10 snapshot_prefix: "of" solver_mode: CPU test_iter: 2 test_interval: 10
"""


def write_training(folder: Path, extra: str = "", net: str = NET, solver: str = SOLVER) -> Path:
    """Write net, data and solver; gives the solver's file.

    Args:
        folder: where to.
        extra: more settings of the solver; those that it has already are replaced.
        net: the net.
        solver: the solver.
    """
    from google.protobuf import text_format

    from camcaffe.caffe import messages

    settings = text_format.Parse(solver, messages.SolverParameter())
    more = text_format.Parse(extra, messages.SolverParameter())
    for field, _ in more.ListFields():
        settings.ClearField(field.name)
    settings.MergeFrom(more)
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 14)
    data = rng.standard_normal((14, 3, 9, 12)).astype(np.float32)
    data[np.arange(14), labels] += 1
    with h5py.File(folder / "train.h5", "w") as file:
        file["data"], file["label"] = data, labels.astype(np.float32)
    (folder / "train.txt").write_text(f"{folder / 'train.h5'}\n")
    (folder / "train_val.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(text_format.MessageToString(settings))
    return folder / "solver.prototxt"
