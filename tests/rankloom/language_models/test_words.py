"""Language models in YAML: one form for all stages, checked before anything runs."""

import json
import sys

import pytest

from rankloom import Session
from rankloom.config import PipelineBuilder
from rankloom.errors import ConfigError, MissingExtraError, NotFoundError, UsageError
from rankloom.eval import preflight as preflight_module
from rankloom.eval.experiment_config import experiment_schema
from rankloom.eval.plan import plan_of
from rankloom.eval.preflight import preflight
from rankloom.language_model import LanguageModel
from rankloom.language_models import Local, OpenAICompatible, Recorder, Replay
from rankloom.language_models.words import BUILT_IN, backend, language_model_schema, located, parted, written_name
from rankloom.prf import PromptPRF, Query2Doc
from rankloom.yaml_file import Locations
from tests.tiny_models import tiny_causal

SERVER = {"openai_compatible": {"name": "m", "url": "http://127.0.0.1:9/v1"}}
REMOTE = {"openai_compatible": {"name": "m", "url": "https://api.openai.com/v1", "key": "NO_SUCH_KEY"}}


def steps(model, **more):
    return ["bm25", {"prompt_prf": {"model": model, **more}}, "bm25"]


def checked(spec, folder="."):
    PipelineBuilder({}, locations=Locations(f"{folder}/study.yaml")).check(spec, at=())


def built(spec):
    """The stages of a pipeline whose words need no corpus."""
    return PipelineBuilder({}).build(spec, corpus=None, session=Session()).stages


class TestBuilding:
    def test_every_word_names_a_backend(self):
        assert {word: backend(word) for word in BUILT_IN} == {
            "openai_compatible": OpenAICompatible,
            "local": Local,
            "replay": Replay,
            "recorder": Recorder,
        }
        with pytest.raises(ConfigError, match=r"unknown language model; got 'repaly'.*did you mean 'replay'"):
            backend("repaly")
        with pytest.raises(ConfigError, match="not a language model"):
            backend("rankloom.prf:RM3")

    def test_parameters_reach_the_backend(self):
        model = {"openai_compatible": {**SERVER["openai_compatible"], "temperature": 1, "body": {"min_p": 0.1}}}
        (stage,) = built([{"query2doc": {"model": model}}])
        assert isinstance(stage, Query2Doc)
        assert (stage.model.name, stage.model.temperature, stage.model.body) == ("m", 1, {"min_p": 0.1})

    def test_a_bare_value_is_for_the_first_parameter(self, tmp_path):
        (tmp_path / "said.jsonl").write_text("")
        (stage,) = built([{"query2doc": {"model": {"replay": str(tmp_path / "said.jsonl")}}}])
        assert isinstance(stage.model, Replay)
        assert parted({"local": "a/b"}) == ("local", {"name": "a/b"})

    def test_a_recorder_holds_another(self, tmp_path):
        spec = {"recorder": {"path": str(tmp_path / "new.jsonl"), "model": SERVER}}
        (stage,) = built([{"query2doc": {"model": spec}}])
        assert isinstance(stage.model, Recorder)
        assert isinstance(stage.model.model, OpenAICompatible)

    def test_stages_share_a_model_that_is_written_the_same(self):
        other = {"openai_compatible": {**SERVER["openai_compatible"], "temperature": 0.5}}
        one, two, three = built(
            [
                {"query2doc": {"model": SERVER}},
                {"query2doc": {"model": SERVER, "form": "dense"}},
                {"query2doc": {"model": other}},
            ]
        )
        assert one.model is two.model
        assert one.model is not three.model

    def test_a_backend_of_another_package(self, tmp_path, monkeypatch):
        (tmp_path / "parrot_for_test.py").write_text(
            "from rankloom.language_model import Completion, LanguageModel\n"
            "class Parrot(LanguageModel):\n"
            "    def __init__(self, name: str = 'polly'):\n        self.name = name\n"
            "    def fingerprint(self):\n        return self.name\n"
            "    def generate(self, prompts, *, max_tokens, session):\n"
            "        yield from ((one, Completion(one.text)) for one in prompts)\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        (stage,) = built([{"query2doc": {"model": {"parrot_for_test:Parrot": {"name": "coco"}}}}])
        assert isinstance(stage.model, LanguageModel)
        assert stage.model_name == "coco"
        sys.modules.pop("parrot_for_test")

    def test_files_are_looked_for_beside_the_configuration(self, tmp_path):
        (tmp_path / "said.jsonl").write_text("")
        assert located({"replay": "said.jsonl"}, tmp_path) == {"replay": {"path": str(tmp_path / "said.jsonl")}}
        checked(steps({"replay": "said.jsonl"}), tmp_path)
        with pytest.raises(NotFoundError, match=r"replay: there is no such file.*nowhere\.jsonl"):
            checked(steps({"replay": "nowhere.jsonl"}), tmp_path)

    @pytest.mark.parametrize(
        ("model", "problem"),
        [
            ("gpt", "a map with one key, the word of its backend; got 'gpt'"),
            ({**SERVER, "local": "x"}, "a map with one key"),
            ({"repaly": "x"}, "did you mean 'replay'"),
            (
                {"local": {"name": "x", "temprature": 1}},
                "local has no parameter 'temprature'; did you mean 'temperature'",
            ),
            ({"local": {"temperature": 1}}, r"local needs 'name'"),
            ({"local": {"name": "x", "layout": "letter"}}, r"local\.layout: Input should be"),
            ({"local": {"name": "x", "batch_size": 0}}, "batch_size is out of range"),
            ({"openai_compatible": {"name": "m", "url": "nowhere"}}, "url is no address"),
            ({"recorder": {"path": "new.jsonl", "model": {"repaly": "x"}}}, "did you mean 'replay'"),
        ],
    )
    def test_errors_tell_the_place(self, model, problem):
        with pytest.raises(ConfigError, match=problem) as raised:
            checked(steps(model))
        assert str(raised.value).startswith("./study.yaml")

    def test_a_key_in_the_place_of_its_variable_is_not_shown(self):
        model = {"openai_compatible": {**SERVER["openai_compatible"], "key": "sk-very-secret"}}
        with pytest.raises(ConfigError, match="key is not the name of an environment variable") as raised:
            checked(steps(model))
        assert "secret" not in str(raised.value)


class TestSchema:
    def test_every_backend_is_in_it(self):
        schema = language_model_schema()
        assert schema.keys() == BUILT_IN.keys()
        assert schema["openai_compatible"]["required"] == ["name", "url"]
        whole = json.loads(json.dumps(experiment_schema()))
        assert whole["language_models"] == json.loads(json.dumps(schema))
        assert whole["stages"]["prompt_prf"]["properties"]["model"]["maxProperties"] == 1
        assert "model" in whole["stages"]["hyde"]["required"]


class TestBeforeAnythingRuns:
    def found(self, *models, offline=True):
        plan = plan_of({str(number): steps(model) for number, model in enumerate(models)}, {})
        return preflight(plan.stages, offline=offline)

    def test_nothing_is_missing(self, tmp_path):
        folder = str(tiny_causal(tmp_path / "model"))
        needs = self.found(SERVER, {"local": folder})
        assert (needs.problems, [one.model for one in needs.models]) == ((), [folder])

    def test_a_variable_that_is_not_set(self):
        with pytest.raises(UsageError, match=r"openai_compatible: the environment variable .*'NO_SUCH_KEY'"):
            self.found(REMOTE, offline=False).raise_problems()

    def test_a_server_out_of_reach(self, monkeypatch):
        monkeypatch.setenv("NO_SUCH_KEY", "sk")
        self.found(REMOTE, offline=False).raise_problems()
        with pytest.raises(NotFoundError, match="openai_compatible: the session is offline"):
            self.found(REMOTE).raise_problems()
        with pytest.raises(NotFoundError, match="the session is offline"):
            self.found({"recorder": {"path": "new.jsonl", "model": REMOTE}}).raise_problems()

    def test_a_model_that_is_not_here(self):
        assert list(self.found({"local": "some/one"}, offline=False).lines()) == [
            "will be downloaded: some/one (for local)"
        ]
        with pytest.raises(NotFoundError, match=r"local: the model was not found.*'some/one'"):
            self.found({"local": "some/one"}).raise_problems()

    def test_packages_that_are_not_installed(self, monkeypatch):
        monkeypatch.setattr(preflight_module, "installed", lambda name: name not in ("openai", "transformers"))
        with pytest.raises(MissingExtraError) as raised:
            self.found(SERVER, {"local": "some/one"}).raise_problems()
        assert "openai_compatible: the module 'openai' is not installed; fix: pip install 'rankloom[api]'" in str(
            raised.value
        )
        assert "local: the module 'transformers' is not installed; fix: pip install 'rankloom[dense]'" in str(
            raised.value
        )

    def test_ledgers_and_forecasts_know_the_model_by_name(self, tmp_path):
        (tmp_path / "said.jsonl").write_text("")
        replay = {"replay": str(tmp_path / "said.jsonl")}
        recorder = {"recorder": {"path": "new.jsonl", "model": SERVER}}
        plan = plan_of({str(number): steps(model) for number, model in enumerate([SERVER, replay, recorder])}, {})
        names = [stage.model for stage in plan.stages if stage.word == "prompt_prf"]
        assert names == [written_name(one) for one in (SERVER, replay, recorder)] == ["m", "said.jsonl", "m"]
        assert plan.written_models() == {"m": "m", "said.jsonl": "said.jsonl"}
        assert PromptPRF(Replay(replay["replay"])).model_name == "said.jsonl"
