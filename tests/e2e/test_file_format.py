"""The reader printed in docs/file-format.md decodes the golden model to the values that were packed."""
import json
import pathlib
import re
import sys

try:
    import numpy as np
    from safetensors.numpy import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "clustered"


def main():
    page = (ROOT / "docs" / "file-format.md").read_text()
    scope = {}
    exec(re.search(r"```python\n(.*?)```", page, re.S).group(1), scope)
    expected = load_file(GOLDEN / "expected.safetensors")
    names = json.loads((GOLDEN / "config.json").read_text())["quantization_config"]["tensors"]
    assert len(names) == 8, names
    for name in names:
        found = scope["read_matrix"](GOLDEN, name)
        assert found.dtype == np.float32, found.dtype
        np.testing.assert_array_equal(found, expected[name], name)
    print(f"{len(names)} matrices decoded")


main()
