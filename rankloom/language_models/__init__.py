"""Language models: what answers prompts. The seam, and the cache around it, are `rankloom.language_model`.

`OpenAICompatible` asks a server, `Local` runs a model on this machine, `Replay` repeats what was recorded, `Recorder`
records. How they are written in YAML is said in `words.py`. Not for: prompts, which belong to the stages that ask.
"""

from rankloom.language_models.local import Local
from rankloom.language_models.openai_compatible import OpenAICompatible
from rankloom.language_models.recorder import Recorder
from rankloom.language_models.replay import Replay

__all__ = ["Local", "OpenAICompatible", "Recorder", "Replay"]
