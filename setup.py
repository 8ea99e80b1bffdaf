"""Package metadata; the tools' settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = {}
exec((ROOT / "camcaffe" / "_version.py").read_text(encoding="utf-8"), VERSION)

EXTRAS = {
    "openvino": ["openvino>=2023.1.0"],
    "torch": ["torch>=2.1"],
    "train": ["torch>=2.1", "lmdb>=1.0.0", "scikit-learn>=1.0", "matplotlib>=3.4"],
    "report": ["matplotlib>=3.4", "jinja2>=3.0"],
    "cluster": ["distributed>=2022.1"],
}
# All extras but PyTorch, which is larger than the rest together; its tests are left out where it is missing.
EXTRAS["test"] = [
    "pytest>=7.0",
    "pytest-xdist>=2.5",
    "hypothesis>=6.30",
    "lmdb>=1.0.0",
    "scikit-learn>=1.0",
    *EXTRAS["openvino"],
    *EXTRAS["report"],
    *EXTRAS["cluster"],
]
EXTRAS["dev"] = ["ruff>=0.6"]
EXTRAS["docs"] = ["mkdocs>=1.5"]

setup(
    name="camcaffe",
    version=VERSION["__version__"],
    description="Class Activation Mapping for Caffe: the original MATLAB pipeline, in Python, to the pixel",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["camcaffe", "camcaffe.*"]),
    package_data={"camcaffe.models": ["*.txt", "digitsCAM/*"], "camcaffe.report": ["page.html", "page.css"]},
    python_requires=">=3.9",
    install_requires=[
        "numpy>=1.19.5",
        "scipy>=1.6.0",
        "opencv-python-headless>=4.5.1.48",
        "h5py>=3.1.0",
        "onnx>=1.11.0",
        "onnxruntime>=1.10.0",
        "protobuf>=3.12.4",
        "Pillow>=9.0.0",
        "click>=7.1.2",
        "tqdm>=4.57.0",
    ],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["camcaffe = camcaffe.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
