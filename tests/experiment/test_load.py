import contextlib
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurometa.errors import UserError
from neurometa.experiment import config, load, override

FEWEST = 'name = "a"\n[task]\nkind = "glyphs"\n'

fractions = st.floats(0, 1)
positives = st.floats(1e-9, 1e9)
counts = st.integers(1, 10**6)
lif = st.builds(config.LIF, decay=fractions, threshold=positives, surrogate=st.builds(config.Surrogate, slope=positives))
augments = st.none() | st.builds(config.Augment, degrees=st.floats(0, 180), scale=st.floats(0, 0.99), shift_px=st.floats(0, 9))
experiments = st.builds(
    config.Experiment,
    name=st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,9}\Z"),
    seed=st.integers(0, 2**62),
    task=st.builds(config.Glyphs, ways=counts, binary=st.booleans(), augment=augments) | st.builds(config.Omniglot, augment=augments),
    network=st.builds(config.Conv, neuron=lif | st.just(config.ReLU()))
    | st.builds(config.MLP, widths=st.lists(counts).map(tuple), neuron=lif),
    encoding=st.builds(config.Direct) | st.builds(config.Rate, gain=fractions) | st.builds(config.Latency),
    plasticity=st.just(config.Prototype()) | st.builds(config.BPTT, rate=positives, fast=st.lists(st.text()).map(tuple)),
    estimator=st.sampled_from([config.Unrolled(), config.FirstOrder(), config.Reptile()]),
    training=st.builds(config.Training, learning_rate=positives),
    evaluation=st.builds(config.Evaluation, seed=st.integers(0, 2**62)),
)


@given(experiments)
def test_an_experiment_written_as_toml_is_read_back_as_it_was(experiment):
    text = load.dump(experiment)
    again = load.convert(tomllib.loads(text), "test")
    assert again == experiment
    assert load.dump(again) == text
    assert load.digest(again) == load.digest(experiment)


def test_every_field_of_a_resolved_experiment_is_spelt_out():
    resolved = tomllib.loads(load.dump(load.convert(tomllib.loads(FEWEST), "test")))
    assert set(resolved) == set(config.Experiment.__struct_fields__)
    assert resolved["network"]["neuron"]["surrogate"] == {"kind": "fast-sigmoid", "slope": 3.0}


def test_experiments_that_differ_have_digests_that_differ():
    digests = {load.digest(load.convert({**tomllib.loads(FEWEST), "seed": seed}, "test")) for seed in range(50)}
    assert len(digests) == 50


def test_false_switches_a_table_off():
    off = load.convert(tomllib.loads(FEWEST + "augment = false"), "test")
    assert isinstance(off.task, config.Glyphs)
    assert off.task.augment is None


NEURON = "[network]\nkind = 'mlp'\n[network.neuron]\n"

BAD = [
    ("wayz = 3", [], ["task.wayz", "ways, shots, queries", "did you mean ways?"]),
    ("[training]\nstepz = 3", [], ["training.stepz", "did you mean steps?"]),
    ("[network]\nkind = 'conv'\nneuron = { kind = 'lif', decy = 1 }", [], ["network.neuron.decy", "did you mean decay?"]),
    (NEURON + "kind = 'lif'\ndecay = 1.5", [], ["network.neuron.decay = 1.5", "expected a number <= 1.0"]),
    (NEURON + "kind = 'lif'\ndecay = nan", [], ["network.neuron.decay = nan", "finite"]),
    (NEURON + "kind = 'lif'\ndecay = 'slow'", [], ["network.neuron.decay = 'slow'", "expected a number, or a table"]),
    (NEURON + "kind = 'lif'\ndecay = { kind = 'gama', tau = 2.0 }", [], ["network.neuron.decay.kind = 'gama'", "did you mean gamma?"]),
    (NEURON + "kind = 'lif'\ndecay = { kind = 'gamma', tau = -2.0 }", [], ["network.neuron.decay.tau = -2.0", "expected a number > 0.0"]),
    (NEURON + "kind = 'lif'\ndecay = { kind = 'learnt', start = 1.0 }", [], ["network.neuron.decay.start = 1.0", "< 1.0"]),
    (NEURON + "kind = 'alif'\nbeta = -0.1", [], ["network.neuron.beta = -0.1", ">= 0.0"]),
    (NEURON + "kind = 'if'\nthreshold = -1.0", [], ["network.neuron.threshold = -1.0", "> 0.0"]),
    (NEURON + "kind = 'alf'", [], ["network.neuron.kind = 'alf'", "did you mean alif?"]),
    ("[plasticity]\nkind = 'prototyp'", [], ["plasticity.kind = 'prototyp'", "prototype, frozen, bptt", "did you mean prototype?"]),
    ("[network]\nchannels = [3]", [], ["[network] has no kind", "conv, mlp"]),
    ("[training]\noptimiser = 'adm'", [], ["training.optimiser = 'adm'", "adam, sgd", "did you mean adam?"]),
    ("[training]\nsteps = 'many'", [], ["training.steps = 'many'", "expected a whole number"]),
    ("[training]\nsteps = 0", [], ["training.steps = 0", "expected a whole number >= 1"]),
    ("[training]\nthreads = 'two'", [], ["training.threads = 'two'", "expected a number, or auto"]),
    ("[training]\nthreads = 1.5", [], ["training.threads = 1.5", "a whole number, or auto"]),
    ("[training]\nsteps = true", [], ["training.steps = True", "expected a whole number"]),
    ("[training]\nlearning_rate = inf", [], ["training.learning_rate = inf", "finite"]),
    ("[training]\nlearning_rate = nan", [], ["training.learning_rate = nan", "finite"]),
    ("[network]\nkind = 'conv'\nchannels = [1, -2]", [], ["network.channels[1] = -2", ">= 1"]),
    ("[network]\nkind = 'conv'\nchannels = 3", [], ["network.channels = 3", "expected a list"]),
    ("augment = 5", [], ["task.augment = 5", "expected a table, or false"]),
    ("training = 5", [], ["unknown key task.training"]),
    ("", ["--name", "Two Words"], ["name = 'Two Words'", "lower-case letters, digits and hyphens"]),
    ("", ["--sede", "3"], ["unknown key sede", "did you mean seed?"]),
    ("", ["--seed.x", "3"], ["seed = {'x': 3}", "expected a whole number"]),
    ("", ["--plasticity.steps", "3"], ["unknown key plasticity.steps"]),
    ("", ["--encoding", "3"], ["encoding = 3, expected a table"]),
]


@pytest.mark.parametrize(("text", "flags", "words"), BAD)
def test_a_mistake_is_named_in_one_line_with_its_place_and_what_is_allowed(tmp_path, text, flags, words):
    path = tmp_path / "bad.toml"
    path.write_text(FEWEST + text)
    with pytest.raises(UserError) as caught:
        load.read(path, override.split(flags)[1])
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"x = [", "is not TOML"), (b"\xff\xfe", "is not TOML"), (b"seed = 3", "name is missing"), (b"name = 'a'", "task is missing")],
)
def test_a_file_that_is_no_experiment_is_refused(tmp_path, content, word):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=word) as caught:
        load.read(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml does not exist"):
        load.read(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        load.read(tmp_path)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
nonsense = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@given(st.sampled_from(config.Experiment.__struct_fields__), nonsense)
def test_nonsense_is_refused_with_a_message_or_is_an_experiment(field, value):
    mapping = {**tomllib.loads(FEWEST), field: value}
    with contextlib.suppress(UserError):
        assert isinstance(load.convert(mapping, "test"), config.Experiment)
