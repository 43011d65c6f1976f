"""What the manifest says of the machine, held against what the system says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

from rankloom.eval.hardware import hardware, processor


def test_the_machine_is_described_in_json_values():
    found = json.loads(json.dumps(hardware()))
    assert found["cores"] == os.cpu_count()
    assert 1 <= found["usable_cores"] <= found["cores"]
    assert found["memory_bytes"] is None or found["memory_bytes"] > 1 << 28
    assert found["threads"]["torch"] == torch.get_num_threads()
    assert found["accelerators"] == [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    assert processor()


def test_nothing_is_loaded_to_find_out():
    code = (
        "import sys; from rankloom.eval.hardware import hardware; found = hardware();"
        "assert 'torch' not in sys.modules and 'faiss' not in sys.modules;"
        "assert found['accelerators'] is None and 'torch' not in found['threads']"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
