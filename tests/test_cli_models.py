import pytest
from loopback_server import Server, breaks_off, status, without_proxies

from camcaffe.models import MODELS
from camcaffe.models.written import all_texts

MEAN = "ilsvrc_2012_mean.mat"


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def mirror(monkeypatch, folder, reference):
    without_proxies(monkeypatch)
    squeezenet = (reference / "caffe" / "squeezenet_v1.0.caffemodel").read_bytes()
    mean = (reference / "cam_repo" / MEAN).read_bytes()
    with Server({f"/{MEAN}": mean, "/squeezenet_v1.0.caffemodel": squeezenet}) as server:
        monkeypatch.setenv("CAMCAFFE_MIRROR", server.url())
        yield server


def test_list(camcaffe, folder):
    result = camcaffe("models", "list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines[1 : len(MODELS) + 1]] == list(MODELS)
    assert lines[1].split() == [
        "googlenetCAM", "GoogLeNet-GAP", "224x224", "imagenet", "CAM_conv", "CAM_fc", "to", "download",
    ]  # fmt: skip
    assert any(line.startswith("caffeNetCAM") and line.endswith("not published") for line in lines)
    assert str(folder) in lines[-1]
    folder.mkdir()
    (folder / "vgg16CAM_train_iter_90000.caffemodel").write_bytes(b"x")
    assert "here: vgg16CAM_train_iter_90000.caffemodel" in camcaffe("models", "list").output


def test_write(camcaffe, tmp_path):
    result = camcaffe("models", "write", tmp_path / "new" / "models")
    assert result.exit_code == 0
    assert result.output == f"{len(all_texts())} files written to {tmp_path / 'new' / 'models'}\n"
    assert {path.name for path in (tmp_path / "new" / "models").iterdir()} == all_texts().keys()


def test_write_goes_to_models_of_the_working_folder(camcaffe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert camcaffe("models", "write").exit_code == 0
    assert (tmp_path / "models" / "deploy_googlenetCAM.prototxt").is_file()


def test_write_where_a_file_stands_in_the_way(camcaffe, tmp_path):
    (tmp_path / "models").write_text("")
    result = camcaffe("models", "write", tmp_path / "models" / "deep")
    assert result.exit_code == 2
    assert "cannot be made: not a directory" in result.output


def test_download(camcaffe, mirror, folder):
    mirror.plan = [breaks_off(1_000_000)]
    result = camcaffe("models", "download", "squeezenetCAM", "squeezenet_v1.0")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        f"squeezenetCAM: {folder / 'squeezenetCAM.caffemodel'}",
        f"squeezenet_v1.0: {folder / 'squeezenet_v1.0.caffemodel'}",
    ]
    fetched = ["/squeezenet_v1.0.caffemodel", "/squeezenet_v1.0.caffemodel", f"/{MEAN}"]
    assert [path for path, _, _ in mirror.requests] == fetched


def test_download_goes_on_past_a_network_that_fails(camcaffe, mirror, folder):
    mirror.plan = [status(404)]
    result = camcaffe("models", "download", "vgg16CAM", "nonsense", "squeezenet_v1.0")
    assert result.exit_code == 2
    first, second, third = result.output.splitlines()
    assert first.startswith(
        "Error: vgg16CAM_train_iter_90000.caffemodel: cannot be downloaded; http://127.0.0.1"
    )
    assert first.endswith("404 Not Found")
    assert second.startswith("Error: nonsense: no model has this name; expected one of googlenetCAM")
    assert third == f"squeezenet_v1.0: {folder / 'squeezenet_v1.0.caffemodel'}"


def test_download_of_a_server_that_hangs(camcaffe, mirror, folder):
    mirror.plan = [lambda handler: mirror.released.wait(20)]
    result = camcaffe("models", "download", "vgg16CAM", "--timeout", "0.2")
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    assert "no answer (timed out)" in result.output
    assert not list(folder.glob("*.caffemodel*"))


def test_download_lists(camcaffe, folder):
    assert camcaffe("models", "download", "--list").output == camcaffe("models", "list").output


def test_download_of_nothing(camcaffe, folder):
    result = camcaffe("models", "download")
    assert result.exit_code == 2
    assert "name at least one network, or ask for --list" in result.output
    assert camcaffe("models", "download", "vgg16CAM", "--timeout", "0").exit_code == 2


def test_a_folder_that_cannot_be_made(camcaffe, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAMCAFFE_HOME", str(tmp_path / "file" / "home"))
    result = camcaffe("models", "download", "vgg16CAM")
    assert result.exit_code == 2
    assert (
        result.output
        == f"Error: {tmp_path / 'file' / 'home'}: cannot be made: not a directory; expected a folder\n"
    )
