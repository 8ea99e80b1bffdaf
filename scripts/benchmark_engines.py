"""How long ten crops take in each engine, beside real Caffe and beside what a matrix product allows.

    python scripts/benchmark_engines.py [PROTOTXT ...] [--caffe-root ROOT]

Every engine that is installed runs each net in a process of its own, on the same random weights and crops,
in turns; the best of several rounds counts, so that what else the machine does weighs little. With
--caffe-root (as made by scripts/pycaffe_debian11.sh; it takes root's rights) real Caffe runs among them,
twice: "caffe" on the kernels that its OpenBLAS picks for this processor, "caffe-sse3" on those that it falls
back to on processors newer than itself, with which the reference results were made.

"/ limit": against the time of the net's multiply-adds at the rate of one large float32 matrix product, taken
in the same rounds. "Caffe /": how many times faster than "caffe". "first": from the start of the process
to the first result. "peak": resident memory. "deviation": the largest difference of the CAM blob and the
scores from real Caffe's (without it, the first engine's), relative to the largest value.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from camcaffe.caffe.caffemodel import write_caffemodel
from camcaffe.caffe.engines import ENGINES, available_cpus, load
from camcaffe.caffe.head import find_head
from camcaffe.caffe.network import Network, read_network
from camcaffe.caffe.shapes import Shapes, infer_shapes, multiply_adds
from camcaffe.caffe.weights import fill_weights

MODELS = Path(__file__).resolve().parent.parent / "models"
NETS = ("deploy_googlenetCAM", "deploy_vgg16CAM", "deploy_alexnetplusCAM_imagenet")
SIZE = 2048  # of the matrix product

# What an engine's process does: load, and then one forward pass for each line that it gets. Real Caffe's
# has nothing but Caffe and NumPy to go by.
ENGINE = """
import json, re, sys, time
begun = time.perf_counter()
engine, folder, threads, blobs = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
import numpy as np
paths = folder + "/net.prototxt", folder + "/net.caffemodel"
if engine.startswith("caffe"):
    import caffe
    net = caffe.Net(*paths, caffe.TEST)
else:
    from camcaffe.caffe import TEST, Net
    net = Net(*paths, TEST, engine=engine, threads=threads)
data = np.load(folder + "/data.npy")
net.blobs["data"].reshape(*data.shape)

def forward():
    start = time.perf_counter()
    found = net.forward(blobs=blobs, data=data)
    return found, time.perf_counter() - start

found, _ = forward()
first = time.perf_counter() - begun
np.savez(folder + "/" + engine + ".npz", **{str(i): found[blob] for i, blob in enumerate(blobs)})
print(json.dumps({"first": first}), flush=True)
for _ in sys.stdin:
    _, seconds = forward()
    with open("/proc/self/status") as status:
        peak = int(re.search("VmHWM:\\\\s+(\\\\d+)", status.read()).group(1)) / 1024
    print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)
"""


PRODUCT = """
import json, sys, time
import numpy as np
matrix = np.random.default_rng(0).random((int(sys.argv[1]),) * 2, np.float32)
matrix @ matrix
print(json.dumps({}), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    matrix @ matrix
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)
"""


class Process:
    """A process that does one piece of work each time it is told to."""

    def __init__(self, name: str, command: list, threads: int):
        settings = {"OPENBLAS_NUM_THREADS": str(threads), "GLOG_minloglevel": "2"}
        if name == "caffe-sse3":
            settings["OPENBLAS_CORETYPE"] = "Prescott"
        self.name, self.seconds = name, []
        self._process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.told = self._answer()

    def run(self) -> None:
        """Once more."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.told.update(self._answer())
        self.seconds.append(self.told["seconds"])

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()

    @property
    def best(self) -> float:
        """The shortest time, in seconds."""
        return min(self.seconds)

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: ended with status {self._process.wait()}")
        return json.loads(line)


def benchmark(prototxt: Path, engines: list, arguments: argparse.Namespace) -> None:
    """Print one net's table."""
    network = read_network(prototxt)
    (name,) = network.inputs
    shape = (arguments.crops, *network.inputs[name][1:])
    shapes = infer_shapes(network, {name: shape})
    multiplications = sum(map(multiply_adds, network.layers, shapes.layers))
    blobs = [find_head(network, shapes).cam_blob, *network.outputs]
    root = arguments.caffe_root
    with tempfile.TemporaryDirectory(dir=root / "tmp" if root else None) as made:
        folder = Path(made)
        shutil.copy(prototxt, folder / "net.prototxt")
        write_caffemodel(folder / "net.caffemodel", network, random_weights(network, shapes))
        np.save(folder / "data.npy", 50 * np.random.default_rng(0).standard_normal(shape, np.float32))
        product = Process("product", [sys.executable, "-c", PRODUCT, str(SIZE)], arguments.threads)
        processes = []
        for engine in engines:
            python, inside = [sys.executable], folder
            if engine.startswith("caffe"):
                python, inside = ["chroot", str(root), "python3"], Path("/") / folder.relative_to(root)
            command = [*python, "-c", ENGINE, engine, str(inside), str(arguments.threads), *blobs]
            processes.append(Process(engine, command, arguments.threads))
        for _ in range(arguments.rounds):
            for process in [*processes, product]:
                process.run()
        for process in [*processes, product]:
            process.stop()
        results = {engine: dict(np.load(folder / f"{engine}.npz")) for engine in engines}
    rate = 2 * SIZE**3 / product.best
    limit = 2 * multiplications / rate
    print(f"\n{prototxt.stem}: {multiplications / 1e9:.1f} billion multiply-adds in {arguments.crops} crops")
    print(f"matrix product: {rate / 1e9:.0f} GFLOP/s, which makes {limit:.3f} s")
    print("engine      seconds   / limit  / fastest  Caffe /   first     peak  deviation")
    fastest = min(process.best for process in processes)
    for process in processes:
        against = f"{processes[0].best / process.best:.2f}" if root else "-"
        print(
            f"{process.name:10}  {process.best:7.3f}  {process.best / limit:8.2f}"
            f"  {process.best / fastest:9.2f}  {against:>7}  {process.told['first']:4.1f} s"
            f"  {process.told['peak']:4.0f} MB  {deviation(results[process.name], results[engines[0]]):9.1e}"
        )


def random_weights(network: Network, shapes: Shapes) -> dict:
    """Weights that keep the values' size from layer to layer, and the scores small."""
    rng = np.random.default_rng(0)
    weights = fill_weights(network, shapes)
    for arrays in weights.values():
        scale = np.sqrt(2 / arrays[0][0].size) * (0.02 if arrays[0].ndim == 2 else 1)
        arrays[0][...] = scale * rng.standard_normal(arrays[0].shape, np.float32)
    return weights


def deviation(found: dict, true: dict) -> float:
    """The largest difference of any blob, relative to the blob's largest value."""
    return max(np.abs(found[key] - true[key]).max() / np.abs(true[key]).max() for key in true)


def machine() -> str:
    """The processor and what else the times depend on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":")[1].strip() if models else name
    return f"{name}, {available_cpus()} CPUs, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Run all nets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prototxt", nargs="*", type=Path, help="default: three CAM nets of models/")
    parser.add_argument("--caffe-root", type=Path, metavar="ROOT", help="a Debian 11 root with real Caffe")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this engine; repeatable")
    parser.add_argument("--crops", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=available_cpus(), help="default: all CPUs")
    arguments = parser.parse_args()
    versions = {name: load(name).version() for name in arguments.engine or ENGINES}
    engines = ["caffe", "caffe-sse3"] if arguments.caffe_root else []
    engines += [name for name, version in versions.items() if version is not None]
    print(f"{machine()}, {arguments.threads} threads, NumPy {np.__version__}")
    print(", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items()))
    for prototxt in arguments.prototxt or [MODELS / f"{name}.prototxt" for name in NETS]:
        benchmark(prototxt, engines, arguments)


if __name__ == "__main__":
    main()
