import pytest
from training_files import NET, write_training

from camcaffe.caffe.training.settings import read_settings
from camcaffe.errors import CamcaffeError


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Settings of the small solver with some changed."""
    monkeypatch.chdir(tmp_path)

    def read(extra="", without=(), **options):
        path = write_training(tmp_path, extra, **options)
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for line in lines if line.partition(":")[0] not in without))
        return read_settings("solver.prototxt")

    return read


@pytest.mark.parametrize(
    ("extra", "without", "message"),
    [
        ('type: "AdaGrad"', (), "type: 'AdaGrad'; expected SGD or Nesterov or Adam"),
        ('type: "RMSProp"', (), "type: 'RMSProp'"),
        ('type: "AdaDelta"', (), "type: 'AdaDelta'"),
        ("solver_type: ADAGRAD", (), "type: 'AdaGrad'"),
        (
            'lr_policy: "cosine"',
            (),
            "lr_policy: 'cosine'; expected fixed, step, exp, inv, multistep, poly, sig",
        ),
        ("", ("lr_policy",), "lr_policy: ''"),
        ("", ("max_iter",), "max_iter is missing"),
        ("", ("base_lr",), "base_lr is missing"),
        ('lr_policy: "step" gamma: 0.1', (), "stepsize is missing; expected it, for the lr_policy 'step'"),
        ('lr_policy: "step" gamma: 0.1 stepsize: 0', (), "stepsize: 0; expected 1 or more"),
        ('lr_policy: "multistep" gamma: 0.1', (), "stepvalue is missing"),
        ('lr_policy: "poly"', (), "power is missing"),
        ('lr_policy: "exp" gamma: -1', (), "gamma: -1; expected 0 or more"),
        ("max_iter: 0", (), "max_iter: 0; expected 1 or more"),
        ("iter_size: 0", (), "iter_size: 0; expected 1 or more"),
        ("average_loss: 0", (), "average_loss: 0"),
        ("base_lr: nan", (), "base_lr: nan; expected a number"),
        ('regularization_type: "L3"', (), "regularization_type: 'L3'; expected L1 or L2"),
        ('type: "Adam" momentum: 1', (), "momentum: 1 and momentum2: 0.999; expected 0 or more, below 1"),
        ("snapshot_diff: true", (), "snapshot_diff: true"),
        ("", ("net",), "no net to train; expected one of net, net_param, train_net, train_net_param"),
        ('train_net: "b"', (), "net and train_net to train; expected one of"),
        ("test_interval: 0", (), "test_iter without test_interval"),
        ("test_iter: 0", (), "test_iter: 0; expected 1 or more"),
        ('test_net: "a" test_net: "b"', (), "1 test_iter for 2 test nets"),
        ("test_state { } test_state { }", (), "2 test_state for 1 test nets"),
        ('net: "missing.prototxt"', (), "missing.prototxt: no such file"),
    ],
)
def test_settings_that_do_not_go(extra, without, message, read):
    with pytest.raises(CamcaffeError, match=message):
        read(extra, without)


def test_train_net_with_test_iter_of_nothing(read):
    with pytest.raises(CamcaffeError, match="1 test_iter for 0 test nets"):
        read('train_net: "train_val.prototxt"', ("net",))


def test_nets_of_all_four_kinds(read, tmp_path):
    settings = read()
    assert (settings.train.phase, [test.phase for test in settings.tests]) == ("TRAIN", ["TEST"])
    assert settings.train_origin == "net file: train_val.prototxt"
    settings = read(f"net_param {{ {NET} }} test_iter: 1 test_iter: 2", ("net",))
    assert (settings.train_origin, settings.test_origins) == ("net_param", ("net_param",) * 2)
    (tmp_path / "other.prototxt").write_text(NET)
    settings = read('train_net: "train_val.prototxt" test_net: "other.prototxt"', ("net",))
    assert settings.test_origins == ("test_net file: other.prototxt",)
    assert settings.tests[0].source == "other.prototxt"
    extra = f'train_net_param {{ {NET} }} test_net_param {{ {NET} }} test_net: "other.prototxt"'
    settings = read(extra + " test_iter: 1 test_iter: 1", ("net",))
    assert (settings.train_origin, settings.test_origins[0]) == ("train_net_param", "test_net_param")
    # Beside the test nets of their own, the net itself is tested too.
    settings = read('test_net: "other.prototxt" test_iter: 1 test_iter: 2')
    assert settings.test_origins == ("test_net file: other.prototxt", "net file: train_val.prototxt")


def test_states_choose_layers(read):
    marked = NET + (
        'layer { name: "extra" type: "Power" bottom: "fc" top: "extra"'
        ' include { stage: "deep" min_level: 2 } }'
    )

    def has_extra(extra):
        settings = read(extra, net=marked)
        return [
            any(layer.name == "extra" for layer in net.layers) for net in (settings.train, *settings.tests)
        ]

    assert has_extra("") == [False, False]
    assert has_extra('train_state { level: 2 stage: "deep" }') == [True, False]
    assert has_extra('test_state { level: 3 stage: "deep" stage: "b" }') == [False, True]
    assert has_extra('train_state { level: 1 stage: "deep" }') == [False, False]
    # The solver's level goes before the net's own; their stages add up.
    marked += 'state { level: 2 stage: "deep" }'
    assert has_extra("") == [True, True]
    assert has_extra("train_state { level: 0 }") == [False, True]


def test_names_start_at_the_working_folder_or_beside_the_solver(read, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    net = NET.replace("train.txt", "lists/train.txt")
    (folder / "lists").mkdir()
    (folder / "lists" / "train.txt").write_text("x")
    write_training(folder, 'snapshot_prefix: "deep/of"', net)
    monkeypatch.chdir(tmp_path)
    settings = read_settings("folder/solver.prototxt")
    assert settings.train_origin == "net file: folder/train_val.prototxt"
    assert settings.train.layers[0].message.hdf5_data_param.source == "folder/lists/train.txt"
    assert settings.prefix == "folder/deep/of"
    monkeypatch.chdir(folder)
    settings = read_settings("solver.prototxt")
    assert settings.train.layers[0].message.hdf5_data_param.source == "lists/train.txt"
    assert settings.prefix == "deep/of"


def test_prefixes_that_caffe_completes(read, tmp_path):
    assert read("", ("snapshot_prefix",)).prefix == "solver"
    (tmp_path / "folder").mkdir()
    assert read('snapshot_prefix: "folder"').prefix == "folder/solver"
    assert read('snapshot_prefix: "/elsewhere/of"').prefix == "/elsewhere/of"
