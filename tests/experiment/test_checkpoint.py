import json
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neurometa.errors import UserError
from neurometa.experiment import build, checkpoint
from neurometa.experiment.checkpoint import Checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def trainer(experiment):
    return build.trainer(experiment(), None)


def snapshot(trainer):
    return Checkpoint(trainer.snapshot(), trainer.at, "0" * 8)


def test_a_checkpoint_is_read_back_bit_for_bit(trainer, tmp_path):
    for _ in range(3):
        trainer.step()
    saved = snapshot(trainer)
    checkpoint.write(tmp_path / "c.safetensors", saved)
    again = checkpoint.read(tmp_path / "c.safetensors")
    assert (again.step, again.digest) == (3, "0" * 8)
    assert again.tensors.keys() == saved.tensors.keys()
    for name, tensor in saved.tensors.items():
        assert torch.equal(again.tensors[name], tensor), name
        assert again.tensors[name].dtype == tensor.dtype


def test_identical_states_have_identical_bytes_whatever_the_order_of_their_tensors(trainer):
    trainer.step()
    saved = snapshot(trainer)
    backwards = saved._replace(tensors={name: value.clone() for name, value in reversed(saved.tensors.items())})
    assert len({checkpoint.encode(saved) for _ in range(20)} | {checkpoint.encode(backwards)}) == 1


def test_another_process_writes_the_same_bytes():
    code = (
        "import sys, torch; from neurometa.experiment.checkpoint import Checkpoint, encode;"
        "sys.stdout.buffer.write(encode(Checkpoint({f'slow/{i}': torch.full((i + 1,), float(i)) for i in range(9)}, 3, 'x')))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT).stdout
    assert there == checkpoint.encode(Checkpoint({f"slow/{i}": torch.full((i + 1,), float(i)) for i in range(9)}, 3, "x"))


def test_all_that_is_not_a_tensor_is_one_json_string_under_one_key(trainer):
    content = checkpoint.encode(snapshot(trainer))
    (length,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    assert list(metadata) == ["neurometa"]
    assert json.loads(metadata["neurometa"]) == {"digest": "0" * 8, "format": checkpoint.FORMAT, "step": 0}


def test_only_parameters_leaves_what_an_evaluation_needs(trainer):
    trainer.step()
    small = snapshot(trainer).only_parameters()
    assert {name.split("/")[0] for name in small.tensors} <= {"slow", "buffer"}
    for name, value in trainer.parameters().items():
        assert torch.equal(small.parameters()[name], value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_written(tmp_path, bad):
    path = tmp_path / "c.safetensors"
    good = Checkpoint({"slow/w": torch.ones(3)}, 1, "x")
    checkpoint.write(path, good)
    with pytest.raises(UserError, match="slow/w is not finite after step 2"):
        checkpoint.write(path, Checkpoint({"slow/w": torch.tensor([1.0, bad])}, 2, "x"))
    assert path.read_bytes() == checkpoint.encode(good)


@pytest.mark.parametrize("keep", [0, 7, 50, -1])
def test_a_truncated_checkpoint_is_refused_in_one_line(tmp_path, keep):
    path = tmp_path / "c.safetensors"
    path.write_bytes(checkpoint.encode(Checkpoint({"slow/w": torch.ones(300)}, 1, "x"))[:keep])
    with pytest.raises(UserError, match="is damaged") as caught:
        checkpoint.read(path)
    assert "\n" not in str(caught.value)


def test_missing_foreign_and_other_format_checkpoints_are_refused(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    with pytest.raises(UserError, match="does not exist"):
        checkpoint.read(tmp_path / "c.safetensors")
    save_file({"w": torch.ones(1)}, tmp_path / "c.safetensors")
    with pytest.raises(UserError, match="not a checkpoint of neurometa"):
        checkpoint.read(tmp_path / "c.safetensors")
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    checkpoint.write(tmp_path / "c.safetensors", Checkpoint({}, 1, "x"))
    monkeypatch.undo()
    with pytest.raises(UserError, match="has format 99, this neurometa reads format 1"):
        checkpoint.read(tmp_path / "c.safetensors")


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    good = Checkpoint({"slow/w": torch.ones(3)}, 1, "x")
    checkpoint.write(path, good)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # the system refuses what goes beyond, as a full disk does
    try:
        with pytest.raises(UserError, match=r"cannot be written.*untouched: free space") as caught:
            checkpoint.write(path, Checkpoint({"slow/w": torch.ones(3000)}, 2, "x"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == checkpoint.encode(good)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
