"""Both loops of `training.throughput` on a tiny model: they count the same conversations' tokens and take steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.test_training_smoke import align_config, converse_config, started  # noqa: F401  a fixture
from tests.tiny_language import tiny_base
from training import align, throughput


@pytest.mark.slow
def test_both_loops_count_what_they_read(started):  # noqa: F811
    align.train(align_config(started), started / "align", tiny_base())
    config = replace(converse_config(started), steps=2)
    ours = throughput.ours(config, started / "speed", tiny_base())
    theirs = throughput.theirs(config, started / "speed", tiny_base())
    for speed in (ours, theirs):
        assert speed.steps == 2
        assert speed.samples_per_second > 0
        # padding is more than nothing and less than all
        assert speed.tokens_per_second < speed.given_per_second < 10 * speed.tokens_per_second
    table = throughput.table({"a": ours, "b": theirs})
    assert f"{ours.tokens_per_second:.0f}" in table
