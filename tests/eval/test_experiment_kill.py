"""Kill an experiment again and again: the result is the same bytes, and hardly any work is done twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests import forked

STAGES = Path(__file__).parent / "stages"
KILLS = 10
CONFIG = """\
collection: mini
measures: [nDCG@10, R@100, AP]
define:
  words: {"rankloom_test_stages:Words": {k: 20, seconds: 0.02}}
  lengths: {"rankloom_test_stages:Lengths": {seconds: 0.02}}
pipelines:
  words: [words]
  lengths: [words, lengths]
  fused: [{interpolate: {inputs: [words, [words, lengths]], norm: minmax}}, {top: 10}]
output: unused
"""


class Runner:
    """Starts `rankloom run` as a process of its own.

    Args:
        folder: Holds configuration, cache, results and log.
        config: The experiment.
    """

    def __init__(self, folder: Path, config: str) -> None:
        folder.mkdir()
        self.config, self.cache, self.out, self.log = (folder / name for name in ("e.yaml", "cache", "out", "log"))
        self.said = folder / "stderr.txt"
        self.config.write_text(config, encoding="utf-8")

    def start(self) -> BaseProcess:
        words = ["run", self.config, "--cache", self.cache, "--output-dir", self.out]
        environment = {"RANKLOOM_TEST_LOG": str(self.log)}
        return forked.rankloom(words, said=self.said, environment=environment, path=STAGES)

    def finish(self) -> None:
        process = self.start()
        process.join(120)
        assert process.exitcode == 0, self.said.read_text()

    def units(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []

    def kill_after(self, units: int, seconds: float) -> bool:
        """Kill the process some time after it has begun so many more units; False if it ended before."""
        process, before, deadline = self.start(), len(self.units()), time.monotonic() + 60
        while len(self.units()) < before + units and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(seconds)
        ended = not process.is_alive()
        process.kill()
        process.join()
        assert ended or process.exitcode == -signal.SIGKILL
        return not ended

    def results(self) -> dict[str, bytes]:
        files = [
            *(self.out / "runs").glob("*.trec"),
            *(self.out / n for n in ("per_query.csv", "summary.json", "summary.md")),
        ]
        return {file.name: file.read_bytes() for file in files}


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_killed_at_ten_moments(tmp_path: Path) -> None:
    whole, broken = Runner(tmp_path / "whole", CONFIG), Runner(tmp_path / "broken", CONFIG)
    whole.finish()
    units = whole.units()
    assert len(units) == len(set(units)) == 100  # two stages, 50 queries, a query a unit
    moments = random.Random(20)
    kills = sum(broken.kill_after(moments.randint(0, 5), moments.uniform(0, 0.06)) for _ in range(KILLS))
    assert kills == KILLS
    broken.finish()
    assert broken.results() == whole.results()
    assert set(broken.units()) == set(units)
    repeated = Counter(broken.units()).total() - len(units)
    assert 0 < repeated <= kills  # only the unit in flight, and the test did hit some

    done = broken.units()
    broken.finish()
    assert broken.results() == whole.results()
    assert broken.units() == done


SWEEP = """\
sweep: {lengths.power: [0.5, 1.0, 2.0]}
tune: {folds: 2}
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_sweep_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    config = CONFIG.replace("fused:", "other:").replace("seconds: 0.02", "seconds: 0.01") + SWEEP
    whole, broken = Runner(tmp_path / "whole", config), Runner(tmp_path / "broken", config)
    whole.finish()
    moments = random.Random(21)
    kills = sum(broken.kill_after(moments.randint(10, 40), moments.uniform(0, 0.03)) for _ in range(4))
    assert kills == 4
    broken.finish()
    assert broken.results() == whole.results()
    units, again = Counter(whole.units()), Counter(broken.units())
    assert set(again) == set(units)
    assert (again - units).total() <= kills  # only the unit in flight
    done = broken.units()
    broken.finish()
    assert broken.units() == done
