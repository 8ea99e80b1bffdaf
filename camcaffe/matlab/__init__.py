"""MATLAB's image and file functions under MATLAB's names, equal to MATLAB's results.

Images are NumPy arrays in row-major (height, width, channels) order; everything else, dtypes and
rounding included, follows MATLAB.
"""

from camcaffe.matlab.color import gray2ind, ind2rgb, jet
from camcaffe.matlab.convert import im2double, im2uint8, mat2gray, round_half_away
from camcaffe.matlab.matfile import loadmat
from camcaffe.matlab.pictures import encode, imread, imwrite, read_gray, read_rgb
from camcaffe.matlab.resize import imresize, resize_weights

__all__ = [
    "encode",
    "gray2ind",
    "im2double",
    "im2uint8",
    "imread",
    "imresize",
    "imwrite",
    "ind2rgb",
    "jet",
    "loadmat",
    "mat2gray",
    "read_gray",
    "read_rgb",
    "resize_weights",
    "round_half_away",
]
