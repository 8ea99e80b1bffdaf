"""camcaffe: Class Activation Mapping for Caffe, the original MATLAB pipeline in Python.

>>> import camcaffe
>>> model = camcaffe.load("squeezenetCAM")
>>> result = model("img.jpg")
>>> result.save("out.png")
"""

from __future__ import annotations

from camcaffe._version import __version__
from camcaffe.errors import CamcaffeError

__all__ = ["CamcaffeError", "__version__", "load"]


def __getattr__(name: str):
    # `load` brings the readers of Caffe's files with it; who only wants boxes need not wait for them.
    if name == "load":
        from camcaffe.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
