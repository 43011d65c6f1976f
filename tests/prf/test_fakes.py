from rankloom.run import Run
from rankloom.testing import StageConformance
from tests.prf.fakes import FakeTerms, FakeVectors


class TestFakeTerms(StageConformance):
    def make_stage(self):
        return FakeTerms(texts={"d2": "blue sky", "d1": "sky blue blue", "d3": "the sea"})

    def make_run(self):
        return Run.start({"q1": "blue sky", "q2": "sea sky", "q3": "moon"})


class TestFakeVectors(StageConformance):
    def make_stage(self):
        return FakeVectors(vectors={"d1": (1.0, 0.0, 0.0), "d2": (0.0, 1.0, 1.0)})

    def make_run(self):
        return Run.start({"q1": "a b", "q2": "c"})
