"""Makes the scripts' modules importable: what counts and judges must count and judge right."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lib"))
