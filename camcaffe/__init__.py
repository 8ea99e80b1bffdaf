"""camcaffe: Class Activation Mapping for Caffe, the original MATLAB pipeline in Python."""

from camcaffe._version import __version__
from camcaffe.errors import CamcaffeError

__all__ = ["CamcaffeError", "__version__"]
