"""What tests/host/random_model.cpp says of a file with random weights."""

import json

from . import process, settings


def fake_devices(n):
    """Stock's and our devices of n GPUs that are none."""
    return tuple(",".join(f"{name}{i}" for i in range(n)) for name in ("FAKE", "TriangleMix"))


def random_model(file, layers, devices=()):
    """devices: stock's, and our proxies of them; of each kind several, with commas between, share every layer's heads."""
    program = settings.need(settings.LIBRARY_DIR / "tmx_random_model", "build the target tmx_random_model")
    fake = any(name.startswith("FAKE") for name in devices)
    env = settings.with_fake_gpu(TMX_FAKE_GPUS=str(devices[0].count(",") + 1)) if fake else settings.environment()
    module = env.pop("GGML_BACKEND_PATH") if fake else settings.backend()
    done = process.run([program, settings.LLAMA_BIN, module, file, layers, *devices], env | {"TRIANGLEMIX_MIN_KEYS": "1"},
                       timeout=500)
    return json.loads(done.stdout)
