import numpy as np
import pytest
from loopback_server import Server, breaks_off, status, without_proxies

from camcaffe import CamcaffeError
from camcaffe.caffe.caffemodel import read_caffemodel, write_caffemodel
from camcaffe.caffe.network import read_network
from camcaffe.caffe.shapes import infer_shapes
from camcaffe.caffe.surgery import rename_layers
from camcaffe.caffe.weights import fill_weights
from camcaffe.models import MODELS, deploy_prototxt, find_model, home, model_files
from camcaffe.models.download import download, download_demo
from camcaffe.models.registry import DEMO
from camcaffe.models.written import deploy_text

MEAN = "ilsvrc_2012_mean.mat"
PAGE = b"<!DOCTYPE html><title>Moved</title>"


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def server(monkeypatch, folder):
    """A mirror, as yet without files."""
    without_proxies(monkeypatch)
    with Server({}) as server:
        monkeypatch.setenv("CAMCAFFE_MIRROR", server.url("mirror"))
        yield server


@pytest.fixture
def mirror(server, reference):
    """A mirror with the mean image."""
    put(server, MEAN, (reference / "cam_repo" / MEAN).read_bytes())
    return server


def put(server, name, data):
    server.files[f"/mirror/{name}"] = data


def get(name):
    return download(name, pause=0, timeout=5)


@pytest.fixture(scope="session")
def caffemodels(tmp_path_factory):
    """A maker of caffemodels with random weights, by a model's name."""
    made = {}

    def make(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("random")
            (folder / "deploy.prototxt").write_text(deploy_text(name))
            network = read_network(folder / "deploy.prototxt")
            weights = fill_weights(network, infer_shapes(network), seed=3)
            write_caffemodel(folder / "random.caffemodel", network, weights)
            made[name] = (folder / "random.caffemodel").read_bytes()
        return made[name]

    return make


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_weights_mean_and_prototxt_arrive(mirror, folder, caffemodels, reference):
    put(mirror, "imagenet_googlenetCAM_train_iter_120000.caffemodel", caffemodels("googlenetCAM"))
    found = get("googlenetCAM")
    assert found.caffemodel == folder / "imagenet_googlenetCAM_train_iter_120000.caffemodel"
    assert found.caffemodel.read_bytes() == caffemodels("googlenetCAM")
    assert found.mean.read_bytes() == (reference / "cam_repo" / MEAN).read_bytes()
    assert found.model is MODELS["googlenetCAM"]
    assert read_network(found.prototxt).name == "GoogleNet"
    assert names(folder) == sorted([found.caffemodel.name, MEAN, "deploy_googlenetCAM.prototxt"])
    assert model_files("googlenetCAM") == found


def test_the_older_spelling_serves(mirror, folder, caffemodels):
    put(mirror, "places_googleletCAM_train_iter_120000.caffemodel", caffemodels("googlenetCAM_places205"))
    found = get("googlenetCAM_places205")
    assert found.caffemodel.name == "places_googlenetCAM_train_iter_120000.caffemodel"
    asked = [path for path, _, _ in mirror.requests]
    assert asked[:2] == [
        "/mirror/places_googlenetCAM_train_iter_120000.caffemodel",
        "/mirror/places_googleletCAM_train_iter_120000.caffemodel",
    ]


def test_a_file_put_there_under_the_older_spelling_is_used(mirror, folder, caffemodels):
    folder.mkdir()
    old = folder / "places_googleletCAM_train_iter_120000.caffemodel"
    old.write_bytes(caffemodels("googlenetCAM_places205"))
    assert get("googlenetCAM_places205").caffemodel == old
    assert [path for path, _, _ in mirror.requests] == [f"/mirror/{MEAN}"]


def test_what_is_there_and_good_is_not_fetched_again(mirror, folder, caffemodels):
    put(mirror, "alexnetplusCAM_places205.caffemodel", caffemodels("alexnetplusCAM_places205"))
    get("alexnetplusCAM_places205")
    mirror.requests.clear()
    get("alexnetplusCAM_places205")
    assert mirror.requests == []


@pytest.mark.parametrize("damage", ["page", "short", "empty", "other"])
def test_what_is_there_and_bad_is_fetched_anew(mirror, folder, caffemodels, damage):
    good = caffemodels("alexnetplusCAM_places205")
    bad = {
        "page": PAGE,
        "short": good[: len(good) // 2],
        "empty": b"",
        "other": caffemodels("googlenetCAM_places205"),
    }
    put(mirror, "alexnetplusCAM_places205.caffemodel", good)
    folder.mkdir()
    (folder / "alexnetplusCAM_places205.caffemodel").write_bytes(bad[damage])
    (folder / MEAN).write_bytes(PAGE)
    found = get("alexnetplusCAM_places205")
    assert found.caffemodel.read_bytes() == good
    assert found.mean.stat().st_size == 606799


def test_a_transfer_that_breaks_off_is_gone_on_with(mirror, folder, caffemodels):
    good = caffemodels("alexnetplusCAM_places205")
    put(mirror, "alexnetplusCAM_places205.caffemodel", good)
    mirror.plan = [breaks_off(5_000_000)]
    assert get("alexnetplusCAM_places205").caffemodel.read_bytes() == good
    assert mirror.requests[1][1] == "bytes=5000000-"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("page", "a web page instead of the file"),
        ("text", "a caffemodel"),
        ("short", "a caffemodel"),
        ("other", "it lacks the weights of layer conv1, conv2, .* those of alexnetplusCAM_places205"),
        ("sibling", r"layer 'fc9': weight blob 0 of shape \(1000, 512\); expected \(205, 512\)"),
    ],
)
def test_a_file_that_is_not_the_models_is_refused(mirror, folder, caffemodels, kind, message):
    good = caffemodels("alexnetplusCAM_places205")
    bad = {
        "page": PAGE,
        "text": b"no caffemodel at all, but text",
        "short": good[:-100_000],
        "other": caffemodels("googlenetCAM_places205"),
        "sibling": caffemodels("alexnetplusCAM_imagenet"),
    }
    put(mirror, "alexnetplusCAM_places205.caffemodel", bad[kind])
    with pytest.raises(CamcaffeError, match=message) as error:
        get("alexnetplusCAM_places205")
    assert mirror.url("mirror/alexnetplusCAM_places205.caffemodel") in str(error.value)
    assert ".part" not in str(error.value)
    assert names(folder) == ["deploy_alexnetplusCAM_places205.prototxt"]


def test_a_checksum_that_is_known_must_fit(server, folder, caffemodels):
    put(server, "bvlc_alexnet.caffemodel", b"anything")
    with pytest.raises(
        CamcaffeError, match=r"sha1 is [0-9a-f]{40}; expected 9116a64c0fbe4459d18f4bb6b56d647b63920377"
    ):
        get("alexnet")
    assert names(folder) == ["deploy_alexnet.prototxt"]


def test_a_mean_image_that_was_changed_is_refused(mirror, folder, caffemodels):
    put(mirror, "alexnetplusCAM_places205.caffemodel", caffemodels("alexnetplusCAM_places205"))
    changed = bytearray(mirror.files[f"/mirror/{MEAN}"])
    changed[1000] ^= 1
    put(mirror, MEAN, bytes(changed))
    with pytest.raises(CamcaffeError, match="sha256 is"):
        get("alexnetplusCAM_places205")
    assert not (folder / MEAN).exists()


def test_squeezenet_is_made_by_surgery(mirror, folder, reference):
    put(
        mirror,
        "squeezenet_v1.0.caffemodel",
        (reference / "caffe" / "squeezenet_v1.0.caffemodel").read_bytes(),
    )
    found = get("squeezenetCAM")
    ours = read_caffemodel(found.caffemodel)
    original = read_caffemodel(reference / "caffe" / "squeezenetCAM.caffemodel")
    assert list(ours) == list(original)
    for layer, blobs in original.items():
        assert [blob.shape for blob in ours[layer]] == [blob.shape for blob in blobs]
        assert all(np.array_equal(a, b) for a, b in zip(ours[layer], blobs))


def test_squeezenet_with_the_names_of_its_plain_release(mirror, folder, reference):
    original = reference / "caffe" / "squeezenet_v1.0.caffemodel"
    network = read_network(reference / "caffe" / "deploy_squeezenet_v1.0.prototxt")
    theirs = {ours: theirs for theirs, ours in find_model("squeezenet_v1.0").layer_names.items()}
    published = rename_layers(read_caffemodel(original), theirs)
    assert {"fire2/squeeze1x1", "fire9/expand3x3", "conv10"} <= published.keys()
    for message in network.message.layer:
        message.name = theirs.get(message.name, message.name)
    write_caffemodel(folder.parent / "published.caffemodel", network, published)
    put(mirror, "squeezenet_v1.0.caffemodel", (folder.parent / "published.caffemodel").read_bytes())
    found = get("squeezenet_v1.0")
    weights, expected = read_caffemodel(found.caffemodel), read_caffemodel(original)
    assert list(weights) == list(expected)
    assert all(np.array_equal(a, b) for name in expected for a, b in zip(weights[name], expected[name]))
    assert not list(folder.glob("*.part*"))


def test_squeezenet_that_is_there_needs_no_server(server, folder, reference):
    folder.mkdir()
    (folder / MEAN).symlink_to(reference / "cam_repo" / MEAN)
    (folder / "squeezenetCAM.caffemodel").symlink_to(reference / "caffe" / "squeezenetCAM.caffemodel")
    get("squeezenetCAM")
    assert server.requests == []


def test_squeezenet_that_is_there_and_bad_is_made_anew(mirror, folder, reference):
    folder.mkdir()
    (folder / "squeezenetCAM.caffemodel").write_bytes(PAGE)
    (folder / "squeezenet_v1.0.caffemodel").symlink_to(reference / "caffe" / "squeezenet_v1.0.caffemodel")
    assert get("squeezenetCAM").caffemodel.stat().st_size > 4_900_000
    assert (folder / "squeezenet_v1.0.caffemodel").is_symlink()


def test_weights_that_nobody_published(server, folder, caffemodels):
    with pytest.raises(
        CamcaffeError, match=r"caffeNetCAM.caffemodel: the file is not in .*nobody published it"
    ):
        get("caffeNetCAM")
    assert server.requests == []
    (folder / "caffeNetCAM.caffemodel").write_bytes(caffemodels("alexnetplusCAM_places205"))
    with pytest.raises(
        CamcaffeError, match=r"caffeNetCAM.caffemodel: it lacks the weights of layer CAM_conv, CAM_fc"
    ):
        get("caffeNetCAM")


def test_several_mirrors_are_tried_in_turn(mirror, folder, caffemodels, monkeypatch):
    put(mirror, "alexnetplusCAM_places205.caffemodel", caffemodels("alexnetplusCAM_places205"))
    monkeypatch.setenv("CAMCAFFE_MIRROR", f"{mirror.url('none/')} {mirror.url('mirror')}")
    get("alexnetplusCAM_places205")
    assert [path for path, _, _ in mirror.requests][:2] == [
        "/none/alexnetplusCAM_places205.caffemodel",
        "/mirror/alexnetplusCAM_places205.caffemodel",
    ]


@pytest.mark.parametrize("address", ["/data/models", "ftp://127.0.0.1/", "file:///data", "models"])
def test_a_mirror_that_is_no_web_address(server, monkeypatch, address):
    monkeypatch.setenv("CAMCAFFE_MIRROR", address)
    with pytest.raises(
        CamcaffeError, match=f"CAMCAFFE_MIRROR: '{address}'; expected an address that begins with http"
    ):
        get("vgg16CAM")


def test_a_name_that_there_is_not():
    with pytest.raises(
        CamcaffeError, match="resnet50: no model has this name; expected one of googlenetCAM, vgg16CAM"
    ):
        get("resnet50")


def test_a_server_error_tells_every_address(server, folder):
    server.plan = [status(404), status(403)]
    with pytest.raises(
        CamcaffeError, match=r"googlenetCAM_train.*: 404 Not Found; .*googleletCAM_train.*: 403 Forbidden"
    ):
        get("googlenetCAM")


def test_what_is_missing_is_told_with_the_command_that_brings_it(folder, monkeypatch):
    with pytest.raises(CamcaffeError, match=r"after `camcaffe models download vgg16CAM`"):
        model_files("vgg16CAM")
    with pytest.raises(CamcaffeError, match="nobody published them; expected weights that you trained"):
        model_files("googlenetGMP")
    folder.mkdir()
    (folder / "vgg16CAM_train_iter_90000.caffemodel").write_bytes(b"x")
    with pytest.raises(
        CamcaffeError, match=r"the mean image ilsvrc_2012_mean.mat is not in .*camcaffe models download"
    ):
        model_files("vgg16CAM")


def test_where_downloads_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "a"))
    assert home() == tmp_path / "a"
    monkeypatch.delenv("CAMCAFFE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert home() == tmp_path / "b" / "camcaffe"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "c"))
    assert home() == tmp_path / "c" / ".cache" / "camcaffe"


def test_a_prototxt_that_is_old_is_written_anew(folder):
    path = deploy_prototxt("squeezenetCAM")
    text = path.read_text()
    path.write_text("name: 'old'")
    assert deploy_prototxt("squeezenetCAM").read_text() == text


def test_the_authors_demo_arrives_in_a_folder_of_its_own(mirror, folder, reference, tmp_path):
    for published in DEMO:
        put(mirror, published.files[0], (reference / "cam_repo" / published.files[0]).read_bytes())
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "img1.jpg").write_bytes(PAGE)
    download_demo(tmp_path / "demo", timeout=5, pause=0)
    assert names(tmp_path / "demo") == sorted(published.files[0] for published in DEMO)
    assert (tmp_path / "demo" / "img1.jpg").read_bytes() == (reference / "cam_repo" / "img1.jpg").read_bytes()
    mirror.requests.clear()
    download_demo(tmp_path / "demo", timeout=5, pause=0)
    assert mirror.requests == []
