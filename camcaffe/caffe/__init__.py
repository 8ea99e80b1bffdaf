"""All that knows Caffe: its messages and files, its nets, the engines that run them."""

from __future__ import annotations

__all__ = ["TEST", "TRAIN", "Net"]


def __getattr__(name: str):
    # Who only reads a file need not wait for what a net brings with it.
    if name in __all__:
        from camcaffe.caffe import net

        return getattr(net, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
