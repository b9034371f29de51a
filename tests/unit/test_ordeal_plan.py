"""The ordeal's plan: whatever is cut heals, and nothing befalls a link that is cut already."""

import random

from hypothesis import given
from hypothesis import strategies as st

from ordeal.plan import CUT_S_MAX, Blow, plan_ordeal


@given(seed=st.integers(), length_s=st.floats(1, 10_000))
def test_every_cut_heals_in_time(seed: int, length_s: float) -> None:
    events = plan_ordeal(random.Random(seed), length_s)
    assert list(events) == sorted(events, key=lambda event: event.at_s)
    cut_at_s: float | None = None
    for event in events:
        assert 0 < event.at_s <= length_s
        if event.blow is Blow.CUT:
            assert cut_at_s is None
            cut_at_s = event.at_s
        elif event.blow is Blow.HEAL:
            assert cut_at_s is not None
            assert event.at_s - cut_at_s <= CUT_S_MAX + 0.001
            cut_at_s = None
    assert cut_at_s is None
