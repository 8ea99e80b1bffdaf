"""Training as Caffe does it, on PyTorch: data layers as sources of batches, the net, and its solver."""
