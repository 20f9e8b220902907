"""The benchmarks do what they say, at a small size; no time is asserted."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import bench_manifest


def test_the_made_up_manifest_has_the_proportions_of_the_nyu_set_and_splits_well():
    manifest = bench_manifest.made_up(10_000).validate()
    assert (len(manifest.images), len(manifest.lesions)) == (10_000, 88)
    assert manifest.images["patient_id"].nunique() == 1412
    split = manifest.with_splits(0.15, 0.25, seed=1)
    counts = split.counts()
    assert counts.loc["test", "patients"] in range(350, 357)  # a quarter
    assert counts["lesions_malignant"].min() >= 1 and manifest.warnings().empty


def test_every_step_is_measured():
    took = bench_manifest.measure(10_000)
    assert {"validate (s)", "split (s)", "memory (GiB)"} <= set(took)
    assert all(value > 0 for value in took.values())
