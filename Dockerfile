# camcaffe beside BVLC Caffe, as scripts/pycaffe_debian11.sh installs it, for those with Docker:
#
#   docker build -t camcaffe .
#   docker run --rm -v "$PWD:/data" camcaffe bbox /data/heatmap.jpg
#
# The tests that need Caffe (reference data in REFERENCE):
#   docker run --rm --entrypoint python3 -e OPENBLAS_CORETYPE=Prescott -v "$REFERENCE:/reference" camcaffe \
#       -m pytest -m pycaffe
FROM debian:bullseye

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        python3-caffe caffe libopenblas0-pthread python3-opencv python3-numpy python3-scipy python3-h5py \
        python3-pil python3-protobuf python3-click python3-tqdm \
        python3-pytest python3-pytest-xdist python3-hypothesis \
    && rm -rf /var/lib/apt/lists/*

ENV LC_ALL=C.UTF-8 GLOG_minloglevel=2 PYTHONPATH=/camcaffe CAMCAFFE_REFERENCE=/reference
COPY pyproject.toml /camcaffe/
COPY camcaffe /camcaffe/camcaffe
COPY models /camcaffe/models
COPY scripts /camcaffe/scripts
COPY tests /camcaffe/tests
WORKDIR /camcaffe
ENTRYPOINT ["python3", "-m", "camcaffe"]
